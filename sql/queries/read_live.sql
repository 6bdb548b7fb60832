-- name: read_live :many LiveRow
-- nullable: token
-- not null: parked
-- Which of these sagas are there and have not ended, under which token, and whether they are parked: for everybody in a
-- process who waits for an end, and for leases whose renewal found their rows locked, in one look.
-- Locks: none.
-- Plan: the primary key, by the ids.
SELECT s.id, s.token, s.waits & 16 <> 0 AS parked
FROM saga_fn.saga AS s
WHERE s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[]) AND s.ended_at IS NULL
