-- name: read_rejections :many RejectionRow
-- The records beside a saga's journal, in order.
-- Locks: none.
-- Plan: a range of the rejections' primary key.
SELECT n.kind, n.detail, n.recorded_at
FROM saga_fn.saga_rejection AS n
WHERE n.shard = :shard::smallint AND n.saga_id = :saga_id::uuid
ORDER BY n.recorded_at, n.id
