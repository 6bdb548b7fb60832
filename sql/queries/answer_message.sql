-- name: answer_message :exec
-- Answer a message that changed nothing.
-- Locks: the message's row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key of the inbox.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga_inbox AS i
SET answer = :answer::text, answered_at = now()
FROM lock_timeout
WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.id = :id::uuid AND i.answer IS NULL
