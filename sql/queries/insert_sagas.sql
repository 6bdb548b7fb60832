-- name: insert_sagas :many InsertedRow
-- also: insert_sagas_at_length
-- nullable: names[], versions[], aggregation_ids[], plans[], tokens[], owners[], statuses[], waits[], dues[], keyed[]
-- nullable: trace_carriers[], id, o_ns[], o_topics[], o_headers[], o_are_free[], o_token
-- not null: lock_timeout
-- Start sagas, each with its first journal entry. A row that exists under its id, or whose business key is taken, is
-- not returned: the caller reads which of the two it was. Owned rows get a lease, the others are due as they
-- say.
-- `keyed` says whose id was made of an idempotency key. None of these is inserted that the statement's snapshot has
-- in `saga`, or in `saga_tombstone`: the statement that deletes a saga moves it from one to the other, so no snapshot
-- misses both. A caller's snapshot that is older than `oldest_snapshot` may be older than the saga: it inserts none of
-- them.
-- Their era is the newest one that the journal has a partition for, and not later than `month` if there is one;
-- `month` itself if the journal is one table.
-- An array may leave out what would be NULL at its end. NULL stands for 0 in `waits`, and for what is first in `names`,
-- `versions`, `plans`, `statuses` and, where there is a token, `owners`. Without `writers` each saga is written by the
-- owner whose token it gets; the entry of one with a token names `process`. The arrays that begin with `n_` are search
-- attributes, those with `o_` outgoing messages, as in commit_sagas; only one of the two statements has them.
-- Locks: an insert waits for another transaction that has inserted the same id or business key and is still open,
-- `lock_timeout` milliseconds at most; then the statement is given up (55P03). Without a key it waits for no
-- transaction. All statements insert keys in one order, so that two of them do not wait for each other. The transaction
-- may be a caller's: its own lock_timeout is put back when all rows are inserted, and a row without an id tells so
-- where none was.
-- Plan: the primary keys of saga and saga_tombstone for the ids with a key. Each journal entry looks its saga up by a
-- hash of the inserted ids. journal_era has few rows, and all of them are read.
WITH lock_timeout AS MATERIALIZED (
    SELECT
        current_setting('lock_timeout') AS before,
        set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds,
        (
            SELECT coalesce(max(e.era) FILTER (WHERE e.era <= :month::smallint), min(e.era), :month::smallint)
            FROM saga_fn.journal_era AS e
        ) AS era
),
new AS (
    SELECT
        n.id, n.aggregation_id, n.trace_id, n.request, n.state, n.token, n.writer, n.event, n.payload, n.waits, n.due,
        n.keyed, n.trace_carrier,
        coalesce(n.name, (:names::text[])[1]) AS name,
        coalesce(n.version, (:versions::integer[])[1]) AS version,
        coalesce(n.plan, (:plans::text[])[1]) AS plan,
        coalesce(n.status, (:statuses::text[])[1]) AS status,
        CASE WHEN n.token IS NOT NULL THEN coalesce(n.owner, (:owners::uuid[])[1]) END AS owner
    FROM unnest(
        :ids::uuid[], :names::text[], :versions::integer[], :aggregation_ids::text[], :trace_ids::text[],
        :requests::bytea[], :plans::text[], :states::bytea[], :tokens::uuid[], :owners::uuid[],
        CASE WHEN cardinality(:writers::uuid[]) > 0 THEN :writers::uuid[] ELSE :tokens::uuid[] END,
        :events::bytea[], :payloads::bytea[], :statuses::text[], :waits::smallint[], :dues::timestamptz[],
        :keyed::boolean[], :trace_carriers::bytea[]
    ) AS n (
        id, name, version, aggregation_id, trace_id, request, plan, state, token, owner,
        writer, event, payload, status, waits, due, keyed, trace_carrier
    )
),
before AS MATERIALIZED (
    SELECT s.id
    FROM saga_fn.saga AS s
    WHERE s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[]) AND cardinality(:keyed::boolean[]) > 0
    UNION ALL
    SELECT t.id
    FROM saga_fn.saga_tombstone AS t
    WHERE
        t.shard = :shard::smallint AND t.id = ANY(:ids::uuid[]) AND cardinality(:keyed::boolean[]) > 0
        AND (t.expires_at IS NULL OR t.expires_at > now())
),
inserted AS (
    INSERT INTO saga_fn.saga AS s (
        shard, era, id, name, version, aggregation_id, trace_id, request, plan, format, status, waits, state, rev,
        token, owner, due_at, keyed
    )
    SELECT
        :shard::smallint, p.era, n.id, n.name, n.version, n.aggregation_id, n.trace_id, n.request, n.plan,
        :format::smallint, n.status, coalesce(n.waits, 0::smallint), n.state, 1::bigint, n.token, n.owner,
        CASE WHEN n.owner IS NOT NULL THEN now() + :lease::interval ELSE n.due END,
        coalesce(n.keyed, false)
    FROM new AS n CROSS JOIN lock_timeout AS p
    WHERE
        (n.id = ANY (SELECT b.id FROM before AS b)) IS NOT TRUE
        AND (
            n.keyed IS NOT TRUE
            OR current_setting('transaction_isolation') = 'read committed'
            OR now() > (statement_timestamp() - :oldest_snapshot::interval)
        )
    ORDER BY n.aggregation_id COLLATE pg_catalog."C", n.id
    ON CONFLICT DO NOTHING
    RETURNING s.id
),
journal AS (
    INSERT INTO saga_fn.saga_journal (shard, era, saga_id, seq, writer, kind, process, event, input, payload)
    SELECT
        :shard::smallint, p.era, n.id, 1, n.writer, 'started',
        CASE WHEN n.token IS NOT NULL THEN :process::text END, n.event, n.trace_carrier, n.payload
    FROM new AS n CROSS JOIN lock_timeout AS p
    WHERE (n.id = ANY (SELECT i.id FROM inserted AS i)) IS TRUE
),
-- also: begin
attributes AS (
    INSERT INTO saga_fn.saga_attribute (shard, name, key, value, created_at, saga_id)
    SELECT :shard::smallint, a.name, a.key, a.value, now(), a.saga_id
    FROM unnest(:n_saga_ids::uuid[], :n_names::text[], :n_keys::text[], :n_values::text[])
        AS a (saga_id, name, key, value)
    WHERE (a.saga_id = ANY (SELECT i.id FROM inserted AS i)) IS TRUE
    ON CONFLICT DO NOTHING
),
outgoing AS (
    INSERT INTO saga_fn.saga_outgoing (shard, saga_id, rev, n, topic, key, headers, body, token, due_at)
    SELECT
        :shard::smallint, o.saga_id, o.rev + 1, coalesce(o.n, 0::smallint),
        coalesce(o.topic, (:o_topics::text[])[1]), o.key, o.headers, o.body,
        CASE WHEN o.is_free IS NOT TRUE THEN :o_token::uuid END,
        CASE WHEN o.is_free IS NOT TRUE THEN now() + :o_lease::interval ELSE now() END
    FROM unnest(
        :o_saga_ids::uuid[], :o_revs::bigint[], :o_ns::smallint[], :o_topics::text[], :o_keys::text[],
        :o_headers::bytea[], :o_bodies::bytea[], :o_are_free::boolean[]
    ) AS o (saga_id, rev, n, topic, key, headers, body, is_free)
    WHERE (o.saga_id = ANY (SELECT i.id FROM inserted AS i)) IS TRUE
),
-- also: end
counted AS MATERIALIZED (
    SELECT count(i.id) AS sagas FROM inserted AS i
),
restored AS MATERIALIZED (
    SELECT set_config('lock_timeout', p.before, true) AS lock_timeout
    FROM counted AS c CROSS JOIN lock_timeout AS p
    WHERE c.sagas >= 0
)
SELECT i.id, now() AS now, r.lock_timeout
FROM restored AS r
LEFT JOIN inserted AS i ON true
