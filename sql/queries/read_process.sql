-- name: read_process :optional ProcessRow
-- A process that works on sagas: where it runs, and when it was last seen.
-- Locks: none.
-- Plan: the primary key.
SELECT p.host, p.seen_at
FROM saga_fn.saga_process AS p
WHERE p.shard = :shard::smallint AND p.id = :id::uuid
