-- name: read_definitions :many DefinitionRow
-- not null: name, version, plan
-- The definitions of the other processes that were seen within `seen_within`: names, versions and the fingerprints of
-- their plans. The `most_processes` that were seen last are asked. `most_definitions` of each count, and `most` of all,
-- so that rows that another program has written cost no more.
-- Locks: none.
-- Plan: a range of saga_process_seen.
SELECT DISTINCT d.name, d.version, d.plan
FROM (
    SELECT each.name, each.version, each.plan
    FROM (
        SELECT seen.names, seen.versions, seen.plans
        FROM saga_fn.saga_process AS seen
        WHERE
            seen.shard = :shard::smallint AND seen.id <> :id::uuid
            AND seen.seen_at > (now() - :seen_within::interval) AND seen.seen_at <= (now() + :seen_within::interval)
        ORDER BY seen.seen_at DESC
        LIMIT :most_processes::bigint
    ) AS p
    CROSS JOIN LATERAL unnest(
        p.names[1: :most_definitions::integer], p.versions[1: :most_definitions::integer],
        p.plans[1: :most_definitions::integer]
    ) AS each (name, version, plan)
    LIMIT :most::bigint
) AS d
