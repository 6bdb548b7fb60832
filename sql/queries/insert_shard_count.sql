-- name: insert_shard_count :exec
-- lint: waits, because migrations run it under a lock_timeout of their own
-- Settle the number of shards, and a name for the store by which it is told from all others. The first to say it
-- decides for all.
-- Locks: the keys of the rows; migrations run it under a lock_timeout of their own.
-- Plan: the primary key.
INSERT INTO saga_fn.setting (name, value)
VALUES ('shards', :shards::integer::text), ('store', :store::text)
ON CONFLICT (name) DO NOTHING
