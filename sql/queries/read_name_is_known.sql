-- name: read_name_is_known :one
-- Whether a saga of that name with a business key is, or was, in the shard.
-- Locks: none.
-- Plan: one probe of saga_active_key and one of saga_ended_key.
SELECT
    EXISTS (
        SELECT 1
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = :name::text AND s.aggregation_id IS NOT NULL
            AND s.ended_at IS NULL
    )
    OR EXISTS (
        SELECT 1
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = :name::text AND s.aggregation_id IS NOT NULL
            AND s.ended_at IS NOT NULL
    ) AS known
