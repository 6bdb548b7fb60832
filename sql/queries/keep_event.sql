-- name: keep_event :one KeptRow
-- nullable: expires_at
-- Store an event for whatever saga of a name is, or will be, active under a business key, unless it is `known` already or
-- as many wait for the key as a saga takes.
WITH new AS (
    INSERT INTO saga_fn.saga_event AS e (shard, name, aggregation_id, id, event, body, expires_at)
    SELECT
        :shard::smallint, :name::text, :aggregation_id::text, :id::uuid, :event::text, :body::bytea,
        coalesce(:expires_at::timestamptz, now() + :keep::interval)
    WHERE (
        SELECT count(*)
        FROM saga_fn.saga_event AS other
        WHERE
            other.shard = :shard::smallint AND other.name = :name::text
            AND other.aggregation_id = :aggregation_id::text AND other.taken_by IS NULL AND other.expires_at > now()
    ) < :most::bigint
    ON CONFLICT DO NOTHING
    RETURNING e.id
)
SELECT
    EXISTS (SELECT 1 FROM new) AS stored,
    EXISTS (
        SELECT 1
        FROM saga_fn.saga_event AS was
        WHERE
            was.shard = :shard::smallint AND was.name = :name::text AND was.aggregation_id = :aggregation_id::text
            AND was.id = :id::uuid
    ) AS known
