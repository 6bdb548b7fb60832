-- name: read_pauses :many PauseRow
-- nullable: actor, reason
-- All that is paused. The empty name is everything.
-- Locks: none.
-- Plan: the primary key: few rows, and all of them are read.
SELECT p.name, p.actor, p.reason, p.paused_at
FROM saga_fn.saga_pause AS p
WHERE p.shard = :shard::smallint
ORDER BY p.paused_at, p.name
