--! concurrently
CREATE INDEX CONCURRENTLY IF NOT EXISTS "saga_fn at" ON saga_fn.job (shard, at);
