-- name: read_plan :optional
-- The plan of a fingerprint; its copies are the same, see hold_plan.
SELECT p.data FROM saga_fn.saga_plan AS p WHERE p.shard = :shard::smallint AND p.id = :id::text LIMIT 1
