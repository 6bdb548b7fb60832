-- name: read_messages :many InboxMessageRow
-- The first `most` messages that have no answer yet, in the order they were sent.
-- Locks: none.
-- Plan: a range of saga_inbox_unread.
SELECT i.id, i.kind, i.body
FROM saga_fn.saga_inbox AS i
WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.answer IS NULL
ORDER BY i.sent_at, i.id
LIMIT :most::bigint
