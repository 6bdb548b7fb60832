-- name: void_event :execrows
-- Let an event for a business key expire now, if no saga has got it, so that none gets it any more.
-- Locks: the event's row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga_event AS e
SET expires_at = now()
FROM lock_timeout
WHERE
    e.shard = :shard::smallint AND e.name = :name::text AND e.aggregation_id = :aggregation_id::text
    AND e.id = :id::uuid AND e.taken_by IS NULL
