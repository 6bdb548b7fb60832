-- name: keep_event :one KeptRow
-- nullable: expires_at, sent_at
-- Store an event for the saga of a name that is, or will be, active under a business key. Exactly one of these is true:
-- `stored`; `known`, an event with this id is there; `ended`, a saga of this key has ended, none is active, and the
-- event is not `for_next`. If none is true, `most` events wait for the key already, or another sender stored this event
-- at this moment: read_event_recipient tells the two apart. `sent_at` is now if it is NULL. A saga that began after it
-- is none that is active.
-- Locks: the key of the row it inserts, for which the statement waits `lock_timeout` milliseconds (55P03) if another
-- session has inserted it and is still open.
-- Plan: the primary key, probes of saga_active_key and saga_ended_key, and a range of saga_event_kept.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
known AS MATERIALIZED (
    SELECT was.id
    FROM saga_fn.saga_event AS was
    WHERE
        was.shard = :shard::smallint AND was.name = :name::text AND was.aggregation_id = :aggregation_id::text
        AND was.id = :id::uuid
),
active AS MATERIALIZED (
    SELECT s.created_at
    FROM saga_fn.saga AS s
    WHERE
        s.shard = :shard::smallint AND s.name = :name::text AND s.aggregation_id = :aggregation_id::text
        AND s.ended_at IS NULL
),
before AS MATERIALIZED (
    SELECT s.id
    FROM saga_fn.saga AS s
    WHERE
        s.shard = :shard::smallint AND s.name = :name::text AND s.aggregation_id = :aggregation_id::text
        AND s.ended_at IS NOT NULL
    LIMIT 1
),
ended AS MATERIALIZED (
    SELECT true AS is_so
    WHERE
        NOT :for_next::boolean AND EXISTS (SELECT 1 FROM before)
        AND NOT EXISTS (
            SELECT 1 FROM active AS a WHERE a.created_at <= coalesce(:sent_at::timestamptz, a.created_at)
        )
),
new AS (
    INSERT INTO saga_fn.saga_event AS e (shard, name, aggregation_id, id, event, body, sent_at, expires_at, for_next)
    SELECT
        :shard::smallint, :name::text, :aggregation_id::text, :id::uuid, :event::text, :body::bytea,
        coalesce(:sent_at::timestamptz, now()), least(:expires_at::timestamptz, now() + :keep::interval),
        :for_next::boolean
    FROM lock_timeout
    WHERE
        NOT EXISTS (SELECT 1 FROM known) AND NOT EXISTS (SELECT 1 FROM ended)
        AND (
            SELECT count(*)
            FROM saga_fn.saga_event AS other
            WHERE
                other.shard = :shard::smallint AND other.name = :name::text
                AND other.aggregation_id = :aggregation_id::text AND other.taken_by IS NULL AND other.expires_at > now()
                -- An event that no saga will get any more takes no room.
                AND (
                    other.for_next
                    OR other.sent_at >= (SELECT a.created_at FROM active AS a)
                    OR NOT EXISTS (SELECT 1 FROM before)
                )
        ) < :most::bigint
    ON CONFLICT DO NOTHING
    RETURNING e.id
)
SELECT
    EXISTS (SELECT 1 FROM new) AS stored,
    EXISTS (SELECT 1 FROM known) AS known,
    EXISTS (SELECT 1 FROM ended) AND NOT EXISTS (SELECT 1 FROM known) AS ended
