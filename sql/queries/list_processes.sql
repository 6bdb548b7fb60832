-- name: list_processes :many ListedProcess
-- not null: names, versions
-- The processes that were seen within `seen_within`, the last seen first: where each runs, and what it works on. There
-- are no more than `most` of them, and of each no more definitions than `most_definitions`.
-- Locks: none.
-- Plan: a range of saga_process_seen.
SELECT
    p.id, p.host, p.seen_at,
    p.names[1: :most_definitions::integer] AS names,
    p.versions[1: :most_definitions::integer] AS versions
FROM saga_fn.saga_process AS p
WHERE
    p.shard = :shard::smallint
    AND p.seen_at > (now() - :seen_within::interval) AND p.seen_at <= (now() + :seen_within::interval)
ORDER BY p.seen_at DESC
LIMIT :most::integer
