-- name: begin_retention :execrows
-- Say that this process deletes sagas in the shard, for the length of `lease`, unless another one does so now.
-- Locks: the shard's row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
INSERT INTO saga_fn.saga_retention AS r (shard, owner, until)
SELECT :shard::smallint, :owner::uuid, now() + :lease::interval
FROM lock_timeout
ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE r.owner = excluded.owner OR r.until <= now()
