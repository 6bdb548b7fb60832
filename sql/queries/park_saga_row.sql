-- name: park_saga_row :exec
-- Take a saga out of work whose state cannot be used, until a person has looked at it: its state and its journal stay
-- as they are. Nothing is done unless the claim with that token still stands.
-- Locks: the row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga AS s
SET
    status = :status::text, waits = :waits::smallint, token = NULL, owner = NULL, due_at = NULL,
    last_error = :why::text, parked = :parked::text, problem_step = NULL, updated_at = now()
FROM lock_timeout
WHERE s.shard = :shard::smallint AND s.id = :id::uuid AND s.token = :token::uuid AND s.ended_at IS NULL
