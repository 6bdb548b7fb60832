-- name: read_tombstone :optional TombstoneRow
-- The rest of a saga that was deleted and whose start had a key.
-- Locks: none.
-- Plan: the primary key.
SELECT t.name, t.request, t.status, t.ended_at, t.deleted_at
FROM saga_fn.saga_tombstone AS t
WHERE
    t.shard = :shard::smallint AND t.id = :id::uuid AND (t.expires_at IS NULL OR t.expires_at > now())
