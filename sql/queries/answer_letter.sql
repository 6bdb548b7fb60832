-- name: answer_letter :exec
-- Answer a letter that changed nothing.
-- Locks: the letter's row, for which the statement waits `patience` milliseconds (55P03).
-- Plan: the primary key of the inbox.
WITH patience AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:patience::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga_inbox AS i
SET answer = :answer::text, answered_at = now()
FROM patience
WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.id = :id::uuid AND i.answer IS NULL
