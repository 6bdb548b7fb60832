-- name: send_letter :optional SentRow
-- nullable: owner
-- Leave a letter for whoever owns the saga or will own it. The counter on the saga's row keeps its owner from giving it
-- up unread. An unowned saga becomes due, unless it waits for a
-- person and for no event. No row: there is no such saga, or it has ended, and
-- no letter was stored. A letter sent again is there once, and not `stored` then.
WITH told AS (
    UPDATE saga_fn.saga AS s
    SET
        signals = s.signals + 1,
        due_at = CASE WHEN s.owner IS NULL AND (s.waits & 24 = 0 OR s.waits & 4 <> 0) THEN now() ELSE s.due_at END
    WHERE s.shard = :shard::smallint AND s.id = :saga_id::uuid AND s.ended_at IS NULL
    RETURNING s.id, s.owner
),
stored AS (
    INSERT INTO saga_fn.saga_inbox (shard, saga_id, id, kind, body)
    SELECT :shard::smallint, t.id, :id::uuid, :kind::text, :body::bytea FROM told AS t
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT t.owner, EXISTS (SELECT 1 FROM stored) AS stored, now() AS now FROM told AS t
