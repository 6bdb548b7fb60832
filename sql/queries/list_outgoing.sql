-- name: list_outgoing :many UnsentRow
-- nullable: headers, error, dead_at
-- The first outgoing messages of a saga that are not published, in their order.
-- Locks: none.
-- Plan: the primary key.
SELECT
    o.saga_id, o.rev, o.n, o.topic, o.key, o.headers, o.body, o.attempts, o.error, o.due_at, o.dead_at, o.blocks,
    o.created_at, o.token IS NOT NULL AS is_held
FROM saga_fn.saga_outgoing AS o
WHERE o.shard = :shard::smallint AND o.saga_id = :saga_id::uuid
ORDER BY o.rev, o.n
LIMIT :most::integer
