-- name: insert_plan :one
-- Store a plan under its fingerprint; a plan never changes, so the first is as good as any. It precedes a process's
-- first start, whose event needs the server's time. Its `copy` is the nil UUID, by the column's default: see hold_plan.
-- Locks: the plan's key, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
kept AS (
    INSERT INTO saga_fn.saga_plan (shard, id, data)
    SELECT :shard::smallint, :id::text, :data::bytea FROM lock_timeout
    ON CONFLICT DO NOTHING
)
SELECT now() AS now
