-- name: read_event_taker :optional TakerRow
-- nullable: taken_by
-- Which saga has got an event that was sent to a business key.
SELECT e.taken_by
FROM saga_fn.saga_event AS e
WHERE
    e.shard = :shard::smallint AND e.name = :name::text AND e.aggregation_id = :aggregation_id::text
    AND e.id = :id::uuid
