-- name: insert_saga :one InsertedRow
-- nullable: aggregation_id, trace_carrier, token, owner, due, id
-- not null: lock_timeout
-- Do as insert_sagas, for one saga.
-- Locks: the same, with the same `lock_timeout`.
-- Plan: the primary keys of saga and saga_tombstone, if it has a key. journal_era has few rows, and all of them are
-- read.
WITH lock_timeout AS MATERIALIZED (
    SELECT
        current_setting('lock_timeout') AS before,
        set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds,
        (
            SELECT coalesce(max(e.era) FILTER (WHERE e.era <= :month::smallint), min(e.era), :month::smallint)
            FROM saga_fn.journal_era AS e
        ) AS era
),
before AS MATERIALIZED (
    SELECT s.id
    FROM saga_fn.saga AS s
    WHERE s.shard = :shard::smallint AND s.id = :id::uuid AND :keyed::boolean
    UNION ALL
    SELECT t.id
    FROM saga_fn.saga_tombstone AS t
    WHERE
        t.shard = :shard::smallint AND t.id = :id::uuid AND :keyed::boolean
        AND (t.expires_at IS NULL OR t.expires_at > now())
),
inserted AS (
    INSERT INTO saga_fn.saga AS s (
        shard, era, id, name, version, aggregation_id, trace_id, request, plan, format, status, waits, state, rev,
        token, owner, due_at, keyed
    )
    SELECT
        :shard::smallint, p.era, :id::uuid, :name::text, :version::integer, :aggregation_id::text, :trace_id::text,
        :request::bytea, :plan::text, :format::smallint, :status::text, :waits::smallint, :state::bytea, 1::bigint,
        :token::uuid, :owner::uuid,
        CASE WHEN :owner::uuid IS NOT NULL THEN now() + :lease::interval ELSE :due::timestamptz END,
        :keyed::boolean
    FROM lock_timeout AS p
    WHERE
        NOT EXISTS (SELECT 1 FROM before)
        AND (
            NOT :keyed::boolean
            OR current_setting('transaction_isolation') = 'read committed'
            OR now() > (statement_timestamp() - :oldest_snapshot::interval)
        )
    ON CONFLICT DO NOTHING
    RETURNING s.id, s.era
),
journal AS (
    INSERT INTO saga_fn.saga_journal (shard, era, saga_id, seq, writer, kind, process, event, input, payload)
    SELECT
        :shard::smallint, i.era, i.id, 1, :writer::uuid, 'started',
        CASE WHEN :token::uuid IS NOT NULL THEN :process::text END, :event::bytea, :trace_carrier::bytea,
        :payload::bytea
    FROM inserted AS i
)
SELECT i.id, now() AS now, set_config('lock_timeout', p.before, true) AS lock_timeout
FROM lock_timeout AS p
LEFT JOIN inserted AS i ON true
