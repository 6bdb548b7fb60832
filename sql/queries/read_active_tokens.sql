-- name: read_active_tokens :many ActiveTokenRow
-- nullable: token
-- not null: parked
-- The sagas of these that are there and have not ended, each with its token, and whether it is parked: for the
-- callers of a process who wait for ends, and for leases whose renewal found their rows locked, in one look.
-- Locks: none.
-- Plan: the primary key, by the ids.
SELECT s.id, s.token, s.waits & 16 <> 0 AS parked
FROM saga_fn.saga AS s
WHERE s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[]) AND s.ended_at IS NULL
