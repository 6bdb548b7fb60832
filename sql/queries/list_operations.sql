-- name: list_operations :many OperationRow
-- nullable: step_id, saga_id, actor, reason, needs, token
-- The first `most` operations before a place, the newest first.
-- Locks: none.
-- Plan: a range of saga_operation_began.
SELECT
    o.id, o.verb, o.step_id, o.saga_id, o.actor, o.reason, o.request, o.needs, o.state,
    coalesce(o.outcome, o.progress) AS progress, o.token, o.began_at, o.updated_at
FROM saga_fn.saga_operation AS o
WHERE o.shard = :shard::smallint AND o.verb <> '' AND (o.began_at, o.id) < (:at::timestamptz, :at_id::uuid)
ORDER BY o.began_at DESC, o.id DESC
LIMIT :most::bigint
