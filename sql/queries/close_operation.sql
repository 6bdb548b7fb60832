-- name: close_operation :execrows
-- Write the outcome of an act that was recorded before it was done.
-- Locks: its row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga_operation AS o
SET outcome = :progress::bytea, updated_at = now()
FROM lock_timeout
WHERE o.shard = :shard::smallint AND o.id = :id::uuid AND o.state = 'done' AND o.token IS NULL
