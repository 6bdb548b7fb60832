-- name: wake_outgoing :exec
-- Make the outgoing messages of a saga due that no process holds, and that have failed at no attempt: what stood before
-- them does so no more.
-- Locks: the rows that it writes, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga_outgoing AS o
SET due_at = now()
FROM lock_timeout
WHERE
    o.shard = :shard::smallint AND o.saga_id = :saga_id::uuid AND o.dead_at IS NULL AND o.token IS NULL
    AND o.attempts = 0 AND o.due_at > now()
