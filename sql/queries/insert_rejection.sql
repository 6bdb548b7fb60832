-- name: insert_rejection :exec
-- lint: waits, because its id was made for it and no other session can hold it
-- Remember something that changed nothing: a late result, a refused verb.
-- Locks: the key of its row, whose id was made for it, so that no other session can hold it.
-- Plan: none is needed: one row is inserted.
INSERT INTO saga_fn.saga_rejection (shard, saga_id, id, kind, detail)
VALUES (:shard::smallint, :saga_id::uuid, :id::uuid, :kind::text, :detail::text)
