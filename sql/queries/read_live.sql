-- name: read_live :many LiveRow
-- Which of these sagas are there and have not ended; for everybody in a process who waits for an end, in one look.
SELECT s.id
FROM saga_fn.saga AS s
WHERE s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[]) AND s.ended_at IS NULL
