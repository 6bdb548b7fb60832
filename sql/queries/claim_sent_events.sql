-- name: claim_sent_events :many SentEventRow
-- nullable: saga_id, name, aggregation_id, expires_at
-- Take `most` events that were sent in callers' transactions, the first due ones, as far as these are committed. No
-- further one is taken once those taken have `bytes` together. No other process takes them before `lease` is over.
-- Locks: the rows it takes. Rows that another session has locked are skipped.
-- Plan: a range of saga_sent_due, then rows by their primary key.
WITH due AS MATERIALIZED (
    SELECT d.id, d.due_at, octet_length(d.body) AS size
    FROM saga_fn.saga_sent AS d
    WHERE d.shard = :shard::smallint AND d.due_at <= now()
    ORDER BY d.due_at
    LIMIT :most::bigint
    FOR UPDATE SKIP LOCKED
),
sized AS MATERIALIZED (
    SELECT
        due.id,
        sum(due.size) OVER (
            ORDER BY due.due_at, due.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS bytes_before
    FROM due
)
UPDATE saga_fn.saga_sent AS e
SET due_at = now() + :lease::interval
WHERE
    e.shard = :shard::smallint
    AND e.id = ANY(
        ARRAY(
            SELECT sized.id
            FROM sized
            WHERE coalesce(sized.bytes_before, 0) < :bytes::bigint
        )
    )
RETURNING
    e.id, e.saga_id, e.name, e.aggregation_id, e.message_id, e.event, e.body, e.sent_at, e.expires_at, e.for_next
