-- name: claim_sent_events :many SentEventRow
-- nullable: saga_id, name, aggregation_id, expires_at
-- Take `most` events that were sent in callers' transactions, the first due ones, as far as these are committed. No
-- other process takes them before `lease` is over.
-- Locks: the rows it takes. Rows that another session has locked are skipped.
-- Plan: a range of saga_sent_due, then rows by their primary key.
UPDATE saga_fn.saga_sent AS e
SET due_at = now() + :lease::interval
WHERE
    e.shard = :shard::smallint
    AND e.id = ANY(
        ARRAY(
            SELECT due.id
            FROM saga_fn.saga_sent AS due
            WHERE due.shard = :shard::smallint AND due.due_at <= now()
            ORDER BY due.due_at
            LIMIT :most::bigint
            FOR UPDATE SKIP LOCKED
        )
    )
RETURNING
    e.id, e.saga_id, e.name, e.aggregation_id, e.message_id, e.event, e.body, e.sent_at, e.expires_at, e.for_next
