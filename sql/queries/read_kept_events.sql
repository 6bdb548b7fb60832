-- name: read_kept_events :many KeptEventRow
-- nullable: of_name, of_key
-- not null: aggregation_id
-- Events that wait for a saga of their business key, the oldest first.
SELECT e.name, e.aggregation_id, e.id, e.event, e.body, e.sent_at, e.expires_at
FROM saga_fn.saga_event AS e
WHERE
    e.shard = :shard::smallint AND e.taken_by IS NULL AND e.expires_at > now()
    AND (:of_name::text IS NULL OR e.name = :of_name::text)
    AND (:of_key::text IS NULL OR e.aggregation_id = :of_key::text)
ORDER BY e.sent_at, e.id
LIMIT 1000
