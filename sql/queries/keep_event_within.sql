-- name: keep_event_within :one SentWithinRow
-- nullable: expires_at
-- lint: waits, because the row's id is new and no other session can hold it
-- Do as send_event_within, for the saga of a name that is, or will be, active under a business key. `ended`: as in
-- keep_event.
-- Locks: the key of the row it inserts, which is new, so that no other session can hold it.
-- Plan: the primary key of saga_event, saga_sent_key, and probes of saga_active_key and saga_ended_key.
WITH known AS MATERIALIZED (
    SELECT was.id
    FROM saga_fn.saga_event AS was
    WHERE
        was.shard = :of_key::smallint AND was.name = :name::text AND was.aggregation_id = :aggregation_id::text
        AND was.id = :message_id::uuid
    UNION ALL
    SELECT e.id
    FROM saga_fn.saga_sent AS e
    WHERE
        e.shard = :shard::smallint AND e.name = :name::text AND e.aggregation_id = :aggregation_id::text
        AND e.message_id = :message_id::uuid
),
ended AS MATERIALIZED (
    SELECT true AS is_so
    WHERE
        NOT :for_next::boolean
        AND NOT EXISTS (
            SELECT 1
            FROM saga_fn.saga AS s
            WHERE
                s.shard = :of_key::smallint AND s.name = :name::text AND s.aggregation_id = :aggregation_id::text
                AND s.ended_at IS NULL
        )
        AND EXISTS (
            SELECT 1
            FROM saga_fn.saga AS s
            WHERE
                s.shard = :of_key::smallint AND s.name = :name::text AND s.aggregation_id = :aggregation_id::text
                AND s.ended_at IS NOT NULL
        )
),
new AS (
    INSERT INTO saga_fn.saga_sent AS e (
        shard, id, name, aggregation_id, message_id, event, body, expires_at, for_next
    )
    SELECT
        :shard::smallint, :id::uuid, :name::text, :aggregation_id::text, :message_id::uuid, :event::text,
        :body::bytea, least(:expires_at::timestamptz, statement_timestamp() + :keep::interval), :for_next::boolean
    WHERE
        NOT EXISTS (SELECT 1 FROM known) AND NOT EXISTS (SELECT 1 FROM ended)
        AND (
            SELECT count(*)
            FROM (
                SELECT other.id
                FROM saga_fn.saga_sent AS other
                WHERE
                    other.shard = :shard::smallint AND other.name = :name::text
                    AND other.aggregation_id = :aggregation_id::text
                LIMIT :most::bigint
            ) AS waiting
        ) < :most::bigint
    RETURNING e.id
)
SELECT
    EXISTS (SELECT 1 FROM new) AS stored,
    EXISTS (SELECT 1 FROM known) AS known,
    EXISTS (SELECT 1 FROM ended) AND NOT EXISTS (SELECT 1 FROM known) AS ended
