-- name: end_saga_row :execrows
-- End a saga whose state cannot be used: its state and its journal stay as they are. Nothing is done if it has
-- moved on from `rev`, or has ended.
-- Locks: the row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga AS s
SET
    status = :status::text, waits = :waits::smallint, token = NULL, owner = NULL, due_at = NULL,
    last_error = :why::text, updated_at = now(), ended_at = now()
FROM lock_timeout
WHERE s.shard = :shard::smallint AND s.id = :id::uuid AND s.rev = :rev::bigint AND s.ended_at IS NULL
