-- name: send_verb :one VerbSentRow
-- Leave an operator's verb for the saga's owner, present or next. It is counted as send_event counts an event, and
-- makes a saga due as that does. No number of unread messages keeps it away. `told` and `known` are both false if there
-- is no such saga, or if it has ended: nothing was stored then.
-- Locks: the saga's row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary keys.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
known AS MATERIALIZED (
    SELECT v.id
    FROM saga_fn.saga_verb AS v
    WHERE v.shard = :shard::smallint AND v.saga_id = :saga_id::uuid AND v.id = :id::uuid
),
told AS (
    UPDATE saga_fn.saga AS s
    SET
        inbox_sent = s.inbox_sent + 1,
        due_at = CASE WHEN s.owner IS NULL AND s.waits & 8 = 0 THEN now() ELSE s.due_at END
    FROM lock_timeout
    WHERE
        s.shard = :shard::smallint AND s.id = :saga_id::uuid AND s.ended_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM known)
    RETURNING s.id
),
stored AS (
    INSERT INTO saga_fn.saga_verb (shard, saga_id, id, kind, body)
    SELECT :shard::smallint, t.id, :id::uuid, :kind::text, :body::bytea FROM told AS t
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT
    EXISTS (SELECT 1 FROM told) AS told,
    EXISTS (SELECT 1 FROM stored) AS stored,
    EXISTS (SELECT 1 FROM known) AS known
