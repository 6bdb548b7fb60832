-- name: insert_note :execrows
-- Remember something that changed nothing: a late result, a refused verb.
INSERT INTO saga_fn.saga_note (shard, saga_id, id, kind, detail)
VALUES (:shard::smallint, :saga_id::uuid, :id::uuid, :kind::text, :detail::text)
ON CONFLICT DO NOTHING
