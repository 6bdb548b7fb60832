-- name: read_shard_count :optional
-- The number of shards; no row before it was settled.
-- Locks: none.
-- Plan: the primary key.
SELECT t.value::integer AS shards FROM saga_fn.setting AS t WHERE t.name = 'shards'
