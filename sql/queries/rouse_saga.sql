-- name: rouse_saga :exec
-- Count a message that was not counted when it was stored, as send_event does. So the saga's owner reads its inbox; a
-- saga without an owner becomes due. For an inbox that is full, and perhaps of messages that another program has
-- written.
-- Locks: the saga's row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga AS s
SET
    inbox_sent = s.inbox_sent + 1,
    due_at = CASE WHEN s.owner IS NULL AND s.waits & 8 = 0 THEN now() ELSE s.due_at END
FROM lock_timeout
WHERE s.shard = :shard::smallint AND s.id = :saga_id::uuid AND s.ended_at IS NULL
