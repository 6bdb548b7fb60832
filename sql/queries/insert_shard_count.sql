-- name: insert_shard_count :exec
-- Settle the number of shards. The first to say it decides for all.
-- lint: waits, because migrations run it under a lock_timeout of their own
INSERT INTO saga_fn.setting (name, value) VALUES ('shards', :shards::integer::text)
ON CONFLICT (name) DO NOTHING
