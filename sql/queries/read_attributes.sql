-- name: read_attributes :many SetAttribute
-- Read the search attributes of sagas.
-- Locks: none.
-- Plan: a range of the primary key for each saga.
SELECT a.saga_id, a.key, a.value
FROM saga_fn.saga_attribute AS a
WHERE a.shard = :shard::smallint AND a.saga_id = ANY(:saga_ids::uuid[])
ORDER BY a.saga_id, a.key
