-- name: insert_note :exec
-- Remember something that changed nothing: a late result, a refused verb.
-- lint: waits, because its id was made for it and no other session can hold it
INSERT INTO saga_fn.saga_note (shard, saga_id, id, kind, detail)
VALUES (:shard::smallint, :saga_id::uuid, :id::uuid, :kind::text, :detail::text)
