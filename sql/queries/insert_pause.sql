-- name: insert_pause :optional
-- nullable: actor, reason
-- Pause a name, or with the empty name everything. Nothing comes back if it is paused already: that pause stays.
-- Locks: an insert waits for another transaction that pauses the same, `lock_timeout` milliseconds at most (55P03).
-- Plan: none is needed: a row is inserted.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
INSERT INTO saga_fn.saga_pause AS p (shard, name, actor, reason)
SELECT :shard::smallint, :name::text, :actor::text, :reason::text
FROM lock_timeout
ON CONFLICT DO NOTHING
RETURNING p.name
