-- name: list_dead_outgoing :many UnsentRow
-- nullable: headers, error, dead_at
-- Outgoing messages that are dead, those that died first at the front.
-- Locks: none.
-- Plan: a range of saga_outgoing_dead.
SELECT
    o.saga_id, o.rev, o.n, o.topic, o.key, o.headers, o.body, o.attempts, o.error, o.due_at, o.dead_at, o.blocks,
    o.created_at, o.token IS NOT NULL AS is_held
FROM saga_fn.saga_outgoing AS o
WHERE o.shard = :shard::smallint AND o.dead_at IS NOT NULL
ORDER BY o.dead_at, o.saga_id
LIMIT :most::integer
