-- name: insert_plan :one KeptPlanRow
-- Store a plan under its fingerprint; a plan never changes, so the first is as good as any. It precedes a process's first
-- start, whose event needs the server's time. Its `copy` is the nil UUID, by the column's default: see hold_plan.
WITH kept AS (
    INSERT INTO saga_fn.saga_plan (shard, id, data)
    VALUES (:shard::smallint, :id::text, :data::bytea)
    ON CONFLICT DO NOTHING
)
SELECT now() AS now
