-- name: find_undelivered_events :many UndeliveredRow
-- Business keys with events that their active saga gets, and has not got: the session that was to hand them over has
-- died. The first `most` of them after (after_name, after_key), in order.
-- Locks: none.
-- Plan: saga_event_kept from there on, with probes of saga_active_key and saga_ended_key.
SELECT DISTINCT e.name, e.aggregation_id
FROM saga_fn.saga_event AS e
CROSS JOIN LATERAL (
    SELECT a.created_at
    FROM saga_fn.saga AS a
    WHERE
        a.shard = :shard::smallint AND a.name = e.name AND a.aggregation_id = e.aggregation_id AND a.ended_at IS NULL
    LIMIT 1
) AS s
WHERE
    e.shard = :shard::smallint AND e.taken_by IS NULL AND e.expires_at > now()
    AND (e.name, e.aggregation_id) > (:after_name::text, :after_key::text)
    -- As in hand_over_events: a key whose saga gets nothing would be found again each time, in the place of others.
    AND (
        e.for_next
        OR e.sent_at >= s.created_at
        OR ( -- not EXISTS: the planner would make a table of all that have ended
            SELECT before.id
            FROM saga_fn.saga AS before
            WHERE
                before.shard = :shard::smallint AND before.name = e.name
                AND before.aggregation_id = e.aggregation_id AND before.ended_at IS NOT NULL
            LIMIT 1
        ) IS NULL
    )
ORDER BY e.name, e.aggregation_id
LIMIT :most::bigint
