-- name: drop_tombstones :execrows
-- Forget `most` tombstones that have expired, the oldest first.
-- Locks: the rows it deletes. Rows that another session has locked are skipped.
-- Plan: a range of saga_tombstone_expiry, then rows by their place.
DELETE FROM saga_fn.saga_tombstone AS t
WHERE
    t.shard = :shard::smallint
    AND t.ctid = ANY(
        ARRAY(
            SELECT old.ctid
            FROM saga_fn.saga_tombstone AS old
            WHERE old.shard = :shard::smallint AND old.expires_at <= now()
            ORDER BY old.expires_at
            LIMIT :most::bigint
            FOR UPDATE SKIP LOCKED
        )
    )
