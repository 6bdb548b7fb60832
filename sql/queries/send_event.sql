-- name: send_event :one EventSentRow
-- not null: is_full
-- Leave an event for the saga's owner, present or next. The counter on the saga's row keeps its owner from giving it
-- up unread. An unowned saga becomes due, unless it waits for a person and for no event. An event sent again is there
-- once, is not `stored` then, and is not counted again: a flood of repetitions keeps no owner from committing. `told`
-- and `known` are both false if there is no such saga, if it has ended, or if it is full (`is_full`): `most` events
-- of it are unread. Nothing was stored then.
-- Locks: the saga's row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary keys, and a range of saga_inbox_unread.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
known AS MATERIALIZED (
    SELECT i.id
    FROM saga_fn.saga_inbox AS i
    WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.id = :id::uuid
),
unread AS MATERIALIZED (
    SELECT count(*) AS messages
    FROM (
        SELECT i.id
        FROM saga_fn.saga_inbox AS i
        WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.answer IS NULL
        LIMIT :most::bigint
    ) AS i
),
told AS (
    UPDATE saga_fn.saga AS s
    SET
        inbox_sent = s.inbox_sent + 1,
        due_at = CASE WHEN s.owner IS NULL AND s.waits & 8 = 0 THEN now() ELSE s.due_at END
    FROM lock_timeout
    WHERE
        s.shard = :shard::smallint AND s.id = :saga_id::uuid AND s.ended_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM known) AND (SELECT u.messages FROM unread AS u) < :most::bigint
    RETURNING s.id
),
stored AS (
    INSERT INTO saga_fn.saga_inbox (shard, saga_id, id, body)
    SELECT :shard::smallint, t.id, :id::uuid, :body::bytea FROM told AS t
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT
    EXISTS (SELECT 1 FROM told) AS told,
    EXISTS (SELECT 1 FROM stored) AS stored,
    EXISTS (SELECT 1 FROM known) AS known,
    (SELECT u.messages FROM unread AS u) >= :most::bigint AS is_full
