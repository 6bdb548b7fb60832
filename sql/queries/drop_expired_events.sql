-- name: drop_expired_events :execrows
-- Forget events for business keys that have expired, some at a time; those that were handed over are in their sagas'
-- journals.
DELETE FROM saga_fn.saga_event AS e
WHERE
    e.shard = :shard::smallint
    AND e.id = ANY(
        ARRAY(
            SELECT old.id
            FROM saga_fn.saga_event AS old
            WHERE old.shard = :shard::smallint AND old.expires_at <= now()
            ORDER BY old.expires_at
            LIMIT 500
            FOR UPDATE SKIP LOCKED
        )
    )
    AND e.expires_at <= now()
