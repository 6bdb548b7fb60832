-- name: read_active :optional
-- The active saga that holds a business key.
-- Locks: none.
-- Plan: one probe of saga_active_key.
SELECT s.id
FROM saga_fn.saga AS s
WHERE
    s.shard = :shard::smallint AND s.name = :name::text AND s.aggregation_id = :aggregation_id::text
    AND s.ended_at IS NULL
