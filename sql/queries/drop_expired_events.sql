-- name: drop_expired_events :execrows
-- Forget `most` events for business keys that have expired, the oldest first. Events that were handed over are in their
-- sagas' journals.
-- Locks: the rows it deletes. Rows that another session has locked are skipped.
-- Plan: a range of saga_event_expiry, then rows by their place.
DELETE FROM saga_fn.saga_event AS e
WHERE
    e.shard = :shard::smallint
    AND e.ctid = ANY(
        ARRAY(
            SELECT old.ctid
            FROM saga_fn.saga_event AS old
            WHERE old.shard = :shard::smallint AND old.expires_at <= now()
            ORDER BY old.expires_at
            LIMIT :most::bigint
            FOR UPDATE SKIP LOCKED
        )
    )
