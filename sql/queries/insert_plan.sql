-- name: insert_plan :one
-- Store a plan under its fingerprint; a plan never changes, so the first is as good as any. It precedes a process's
-- first start, whose event needs the server's time. Its `copy` is the nil UUID, by the column's default: see hold_plan.
-- Locks: the plan's key, for which the statement waits `patience` milliseconds (55P03).
-- Plan: the primary key.
WITH patience AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:patience::integer)::text, true) AS milliseconds
),
kept AS (
    INSERT INTO saga_fn.saga_plan (shard, id, data)
    SELECT :shard::smallint, :id::text, :data::bytea FROM patience
    ON CONFLICT DO NOTHING
)
SELECT now() AS now
