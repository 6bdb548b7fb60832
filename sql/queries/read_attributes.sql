-- name: read_attributes :many SetAttribute
-- Read the search attributes of a saga.
-- Locks: none.
-- Plan: a range of the primary key.
SELECT a.key, a.value
FROM saga_fn.saga_attribute AS a
WHERE a.shard = :shard::smallint AND a.saga_id = :saga_id::uuid
ORDER BY a.key
