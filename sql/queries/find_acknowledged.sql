-- name: find_acknowledged :many EndedRow
-- Do as find_ended, for sagas that FAILED and that a person has acknowledged.
-- Locks: none.
-- Plan: a range of saga_failed.
SELECT s.id, s.rev, s.era
FROM saga_fn.saga AS s
WHERE
    s.shard = :shard::smallint AND s.name = :name::text AND s.version = :version::integer AND s.status = 'FAILED'
    AND s.acknowledged AND s.ended_at < :before::timestamptz
    AND (s.ended_at < :sure::timestamptz OR s.plan = ANY(:plans::text[]))
ORDER BY s.ended_at, s.id
LIMIT :most::integer
