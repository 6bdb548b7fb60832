-- name: read_event_recipient :optional EventRecipientRow
-- nullable: taken_by
-- Which saga has got an event that was sent to a business key; `repeated` if it had got the same event before, by its
-- own id. `ended`: none has, and a saga of the key has ended since, so that none will, unless the event is for the
-- next.
-- Locks: none.
-- Plan: the primary key of the kept events, with probes of saga_active_key and saga_ended_key.
SELECT
    e.taken_by,
    e.repeated,
    NOT e.for_next AND e.taken_by IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = :name::text AND s.aggregation_id = :aggregation_id::text
            AND s.ended_at IS NULL AND s.created_at <= e.sent_at
    )
    AND EXISTS (
        SELECT 1
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = :name::text AND s.aggregation_id = :aggregation_id::text
            AND s.ended_at IS NOT NULL
    ) AS ended
FROM saga_fn.saga_event AS e
WHERE
    e.shard = :shard::smallint AND e.name = :name::text AND e.aggregation_id = :aggregation_id::text
    AND e.id = :id::uuid
