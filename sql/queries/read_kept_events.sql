-- name: read_kept_events :many KeptEventRow
-- nullable: of_name, of_key
-- Events that wait for a saga of their business key, the oldest first; not those that none will get, because a saga of
-- the key has ended since they came.
-- Locks: none.
-- Plan: a range of saga_event_kept, with probes of saga_active_key and saga_ended_key.
SELECT e.name, e.aggregation_id, e.id, e.event, e.body, e.sent_at, e.expires_at
FROM saga_fn.saga_event AS e
WHERE
    e.shard = :shard::smallint AND e.taken_by IS NULL AND e.expires_at > now()
    AND (:of_name::text IS NULL OR e.name = :of_name::text)
    AND (:of_key::text IS NULL OR e.aggregation_id = :of_key::text)
    AND (
        e.for_next
        OR ( -- not EXISTS: the planner would make a table of all that have ended
            SELECT before.id
            FROM saga_fn.saga AS before
            WHERE
                before.shard = :shard::smallint AND before.name = e.name
                AND before.aggregation_id = e.aggregation_id AND before.ended_at IS NOT NULL
            LIMIT 1
        ) IS NULL
        OR (
            SELECT s.created_at
            FROM saga_fn.saga AS s
            WHERE
                s.shard = :shard::smallint AND s.name = e.name AND s.aggregation_id = e.aggregation_id
                AND s.ended_at IS NULL
            LIMIT 1
        ) <= e.sent_at
    )
ORDER BY e.sent_at, e.id
LIMIT 1000
