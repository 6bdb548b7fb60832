-- name: advance_operation :optional
-- Write how far an operation has come, and go on with its lease, unless another process has taken it. Gives its state.
-- Locks: its row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga_operation AS o
SET
    progress = :progress::bytea,
    lease_end = now() + :lease::interval,
    state = CASE WHEN :is_done::boolean THEN 'done' ELSE o.state END,
    updated_at = now()
FROM lock_timeout
WHERE o.shard = :shard::smallint AND o.id = :id::uuid AND o.token = :token::uuid AND o.state <> 'done'
RETURNING o.state
