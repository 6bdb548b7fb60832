-- name: discard_kept_events :execrows
-- nullable: event
-- Forget the events that wait for a saga of a business key, those of one name or (NULL) all of them, and count them.
-- Events that another session hands over at this moment are left to it.
-- Locks: the rows it deletes. Rows that another session has locked are skipped.
-- Plan: a range of saga_event_kept.
DELETE FROM saga_fn.saga_event AS e
WHERE
    e.shard = :shard::smallint AND e.name = :name::text AND e.aggregation_id = :aggregation_id::text
    AND e.ctid = ANY(
        ARRAY(
            SELECT kept.ctid
            FROM saga_fn.saga_event AS kept
            WHERE
                kept.shard = :shard::smallint AND kept.name = :name::text
                AND kept.aggregation_id = :aggregation_id::text AND kept.taken_by IS NULL AND kept.expires_at > now()
                AND (:event::text IS NULL OR kept.event = :event::text)
                -- As in read_kept_events.
                AND (
                    kept.for_next
                    OR NOT EXISTS (
                        SELECT 1
                        FROM saga_fn.saga AS before
                        WHERE
                            before.shard = :shard::smallint AND before.name = :name::text
                            AND before.aggregation_id = :aggregation_id::text AND before.ended_at IS NOT NULL
                    )
                    OR EXISTS (
                        SELECT 1
                        FROM saga_fn.saga AS s
                        WHERE
                            s.shard = :shard::smallint AND s.name = :name::text
                            AND s.aggregation_id = :aggregation_id::text
                            AND s.ended_at IS NULL AND s.created_at <= kept.sent_at
                    )
                )
            ORDER BY kept.id
            FOR UPDATE SKIP LOCKED
        )
    )
