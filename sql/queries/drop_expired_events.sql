-- name: drop_expired_events :execrows
-- Forget `most` events for business keys that have expired, the oldest first. Events that were handed over are in their
-- sagas' journals.
-- Locks: the rows it deletes. Rows that another session has locked are skipped.
-- Plan: a range of saga_event_expiry, then rows by their place.
WITH old AS MATERIALIZED (
    SELECT o.ctid AS place, o.expires_at
    FROM saga_fn.saga_event AS o
    WHERE o.shard = :shard::smallint AND o.expires_at <= now()
    ORDER BY o.expires_at
    LIMIT :most::bigint
    FOR UPDATE SKIP LOCKED
)
DELETE FROM saga_fn.saga_event AS e
WHERE
    e.shard = :shard::smallint AND e.ctid = ANY(ARRAY(SELECT o.place FROM old AS o))
    -- Or a plan that was made for an empty table walks all of them.
    AND e.expires_at <= (SELECT max(o.expires_at) FROM old AS o)
