-- name: read_operation :optional OperationRow
-- nullable: step_id, saga_id, actor, reason, needs, token
-- One operation.
-- Locks: none.
-- Plan: the primary key.
SELECT
    o.id, o.verb, o.step_id, o.saga_id, o.actor, o.reason, o.request, o.needs, o.state,
    coalesce(o.outcome, o.progress) AS progress, o.token, o.began_at, o.updated_at
FROM saga_fn.saga_operation AS o
WHERE o.shard = :shard::smallint AND o.id = :id::uuid
