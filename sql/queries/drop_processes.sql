-- name: drop_processes :execrows
-- Forget one process, which has ended. Forget `most` of those that have said nothing for as long as `silent`, or were
-- seen so much later than now.
-- Locks: the rows it deletes. Rows that another session has locked are skipped.
-- Plan: the primary key, and two ranges of saga_process_seen.
DELETE FROM saga_fn.saga_process AS p
WHERE
    p.shard = :shard::smallint
    AND p.id = ANY(
        ARRAY(
            SELECT ended.id
            FROM saga_fn.saga_process AS ended
            WHERE ended.shard = :shard::smallint AND ended.id = :id::uuid
            FOR UPDATE SKIP LOCKED
        )
        || ARRAY(
            SELECT gone.id
            FROM saga_fn.saga_process AS gone
            WHERE gone.shard = :shard::smallint AND gone.seen_at <= (now() - :silent::interval)
            ORDER BY gone.seen_at
            LIMIT :most::bigint
            FOR UPDATE SKIP LOCKED
        )
        || ARRAY(
            SELECT ahead.id
            FROM saga_fn.saga_process AS ahead
            WHERE ahead.shard = :shard::smallint AND ahead.seen_at > (now() + :silent::interval)
            ORDER BY ahead.seen_at
            LIMIT :most::bigint
            FOR UPDATE SKIP LOCKED
        )
    )
