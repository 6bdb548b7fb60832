-- name: find_ended :many EndedRow
-- Sagas of one name and version that ended so, before that moment, the oldest end first. They may be deleted. Those
-- that ended after `sure` are left out, unless their plan is one of `plans`.
-- Locks: none.
-- Plan: a range of saga_ended.
SELECT s.id, s.rev, s.era
FROM saga_fn.saga AS s
WHERE
    s.shard = :shard::smallint AND s.name = :name::text AND s.version = :version::integer AND s.status = :status::text
    AND s.ended_at IS NOT NULL AND s.ended_at < :before::timestamptz
    AND (s.ended_at < :sure::timestamptz OR s.plan = ANY(:plans::text[]))
ORDER BY s.ended_at, s.id
LIMIT :most::integer
