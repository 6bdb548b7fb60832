-- name: find_stranded_events :many StrandedRow
-- not null: aggregation_id
-- Business keys with kept events and an active saga: whoever was to hand them over has died. Takes no lock.
SELECT DISTINCT e.name, e.aggregation_id
FROM saga_fn.saga_event AS e
JOIN saga_fn.saga AS s
    ON s.shard = e.shard AND s.name = e.name AND s.aggregation_id = e.aggregation_id AND s.ended_at IS NULL
WHERE e.shard = :shard::smallint AND s.shard = :shard::smallint AND e.taken_by IS NULL AND e.expires_at > now()
LIMIT 100
