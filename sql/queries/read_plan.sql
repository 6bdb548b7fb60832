-- name: read_plan :optional
-- The plan of a fingerprint; its copies are the same, see hold_plan.
-- Locks: none.
-- Plan: a range of the primary key.
SELECT p.data FROM saga_fn.saga_plan AS p WHERE p.shard = :shard::smallint AND p.id = :id::text LIMIT 1
