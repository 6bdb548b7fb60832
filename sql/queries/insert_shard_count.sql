-- name: insert_shard_count :exec
-- lint: waits, because migrations run it under a lock_timeout of their own
-- Settle the number of shards. The first to say it decides for all.
-- Locks: the key of the one row; migrations run it under a lock_timeout of their own.
-- Plan: the primary key.
INSERT INTO saga_fn.setting (name, value) VALUES ('shards', :shards::integer::text)
ON CONFLICT (name) DO NOTHING
