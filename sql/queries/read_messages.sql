-- name: read_messages :many InboxMessageRow
-- The first `most` messages behind that one that have no answer yet, in the order they were sent: events and operators'
-- verbs. All that stands in saga_inbox is an event. No further one comes once those that come have `bytes` together.
-- `inbox_sent` is how many messages the saga has had at that moment. An owner that has read all knows so many.
-- Locks: none.
-- Plan: the primary key of saga, a range of saga_inbox_unread, and one of the primary key of saga_verb.
SELECT u.id, u.kind, u.body, u.sent_at, s.inbox_sent
FROM saga_fn.saga AS s
CROSS JOIN (
    SELECT
        m.id, m.kind, m.body, m.sent_at,
        sum(octet_length(m.body)) OVER (
            ORDER BY m.sent_at, m.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS bytes_before
    FROM (
        SELECT i.id, 'event' AS kind, i.body, i.sent_at
        FROM saga_fn.saga_inbox AS i
        WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.answer IS NULL
        UNION ALL
        SELECT v.id, v.kind, v.body, v.sent_at
        FROM saga_fn.saga_verb AS v
        WHERE v.shard = :shard::smallint AND v.saga_id = :saga_id::uuid AND v.answer IS NULL
    ) AS m
    WHERE (m.sent_at, m.id) > (:after_sent_at::timestamptz, :after_id::uuid)
) AS u
WHERE s.shard = :shard::smallint AND s.id = :saga_id::uuid AND coalesce(u.bytes_before, 0) < :bytes::bigint
ORDER BY u.sent_at, u.id
LIMIT :most::bigint
