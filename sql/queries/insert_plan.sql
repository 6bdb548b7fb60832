-- name: insert_plan :execrows
-- Store a plan under its fingerprint; a plan never changes, so the first is as good as any.
INSERT INTO saga_fn.saga_plan (shard, id, data)
VALUES (:shard::smallint, :id::text, :data::bytea)
ON CONFLICT DO NOTHING
