-- name: drop_tombstones :execrows
-- Forget `most` tombstones that have expired, the oldest first.
-- Locks: the rows it deletes. Rows that another session has locked are skipped.
-- Plan: a range of saga_tombstone_expiry, then rows by their place.
WITH old AS MATERIALIZED (
    SELECT o.ctid AS place, o.expires_at
    FROM saga_fn.saga_tombstone AS o
    WHERE o.shard = :shard::smallint AND o.expires_at <= now()
    ORDER BY o.expires_at
    LIMIT :most::bigint
    FOR UPDATE SKIP LOCKED
)
DELETE FROM saga_fn.saga_tombstone AS t
WHERE
    t.shard = :shard::smallint AND t.ctid = ANY(ARRAY(SELECT o.place FROM old AS o))
    -- Or a plan that was made for an empty table walks all of them.
    AND t.expires_at <= (SELECT max(o.expires_at) FROM old AS o)
