-- name: answer_message :exec
-- Answer a message that changed nothing, in whichever table it stands.
-- Locks: the message's row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary keys of the inbox and of saga_verb.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
answered AS (
    UPDATE saga_fn.saga_inbox AS i
    SET answer = :answer::text, answered_at = now()
    FROM lock_timeout
    WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.id = :id::uuid AND i.answer IS NULL
)
UPDATE saga_fn.saga_verb AS v
SET answer = :answer::text, answered_at = now()
FROM lock_timeout
WHERE v.shard = :shard::smallint AND v.saga_id = :saga_id::uuid AND v.id = :id::uuid AND v.answer IS NULL
