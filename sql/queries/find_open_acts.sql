-- name: find_open_acts :many OperationRow
-- nullable: step_id, saga_id, actor, reason, needs, token
-- The first `most` acts after a place that began longer ago and have no outcome yet, the oldest first.
-- Locks: none.
-- Plan: a range of saga_operation_open.
SELECT
    o.id, o.verb, o.step_id, o.saga_id, o.actor, o.reason, o.request, o.needs, o.state, o.progress, o.token,
    o.began_at, o.updated_at
FROM saga_fn.saga_operation AS o
WHERE
    o.shard = :shard::smallint AND o.state = 'done' AND o.token IS NULL AND o.outcome IS NULL
    AND (o.began_at, o.id) > (:at::timestamptz, :at_id::uuid) AND o.began_at <= (now() - :older::interval)
ORDER BY o.began_at, o.id
LIMIT :most::bigint
