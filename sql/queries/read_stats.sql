-- name: read_stats :many StatsRow
-- nullable: status, waits, minute, moment
-- not null: name, version, is_cut
-- Numbers by name and version, one a row: `live` sagas by their status and `waits`; those that are `overdue`, and since
-- when the first is due; those that `failed` and were not acknowledged; those that `ended` in each minute from
-- `ends_since` on, by their status; the processes seen lately that `work` on them; the names that are `paused`. One row
-- says what time it is `now`. Counts stop at `most`, those of ends at `most_ends` in each shard, and the minute at
-- which they stopped `is_cut`. Names are found by jumping from one to the next in an index. So the cost grows with the
-- number of names, up to `most_groups`. Processes are asked as in read_definitions.
-- Locks: none.
-- Plan: ranges of saga_live, saga_due, saga_failed, saga_ended, saga_process_seen and saga_pause_pkey.
WITH RECURSIVE live (shard, name, version, status, waits) AS (
    SELECT w.shard, f.name, f.version, f.status, f.waits
    FROM unnest(:shards::smallint[]) AS w (shard)
    CROSS JOIN LATERAL (
        SELECT s.name, s.version, s.status, s.waits
        FROM saga_fn.saga AS s
        WHERE s.shard = w.shard AND s.ended_at IS NULL AND s.name <> ''
        ORDER BY s.name, s.version, s.status, s.waits
        LIMIT 1
    ) AS f
    UNION ALL
    SELECT b.shard, f.name, f.version, f.status, f.waits
    FROM live AS b
    CROSS JOIN LATERAL (
        SELECT s.name, s.version, s.status, s.waits
        FROM saga_fn.saga AS s
        WHERE
            s.shard = b.shard AND (s.name, s.version, s.status, s.waits) > (b.name, b.version, b.status, b.waits)
            AND s.ended_at IS NULL AND s.name <> ''
        ORDER BY s.name, s.version, s.status, s.waits
        LIMIT 1
    ) AS f
),
ended (shard, name, version, status) AS (
    SELECT w.shard, f.name, f.version, f.status
    FROM unnest(:shards::smallint[]) AS w (shard)
    CROSS JOIN LATERAL (
        SELECT s.name, s.version, s.status
        FROM saga_fn.saga AS s
        WHERE s.shard = w.shard AND s.ended_at IS NOT NULL AND s.name <> ''
        ORDER BY s.name, s.version, s.status
        LIMIT 1
    ) AS f
    UNION ALL
    SELECT b.shard, f.name, f.version, f.status
    FROM ended AS b
    CROSS JOIN LATERAL (
        SELECT s.name, s.version, s.status
        FROM saga_fn.saga AS s
        WHERE
            s.shard = b.shard AND (s.name, s.version, s.status) > (b.name, b.version, b.status)
            AND s.ended_at IS NOT NULL AND s.name <> ''
        ORDER BY s.name, s.version, s.status
        LIMIT 1
    ) AS f
),
some_live AS MATERIALIZED (
    SELECT g.shard, g.name, g.version, g.status, g.waits
    FROM live AS g
    LIMIT :most_groups::bigint
),
some_ended AS MATERIALIZED (
    SELECT g.shard, g.name, g.version, g.status
    FROM ended AS g
    LIMIT :most_groups::bigint
)
SELECT
    'now' AS kind, '' AS name, 0 AS version, NULL::text AS status, NULL::integer AS waits,
    0 AS sagas, NULL::integer AS minute, now() AS moment, false AS is_cut
UNION ALL
SELECT
    'live' AS kind, g.name AS name, g.version AS version, g.status AS status, g.waits::integer AS waits,
    found.sagas AS sagas, NULL AS minute, NULL AS moment, false AS is_cut
FROM some_live AS g
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS sagas
    FROM (
        SELECT 1 AS one
        FROM saga_fn.saga AS s
        WHERE
            s.shard = g.shard AND s.name = g.name AND s.version = g.version AND s.status = g.status
            AND s.waits = g.waits AND s.ended_at IS NULL AND s.name <> ''
        ORDER BY s.created_at -- as the index has them: without it a planner may walk the table
        LIMIT :most::integer
    ) AS o
) AS found
UNION ALL
SELECT
    'overdue' AS kind, g.name AS name, g.version AS version, NULL AS status, NULL AS waits,
    found.sagas AS sagas, NULL AS minute, first_one.due_at AS moment, false AS is_cut
FROM (SELECT DISTINCT e.shard, e.name, e.version FROM some_live AS e) AS g
CROSS JOIN LATERAL (
    SELECT s.due_at
    FROM saga_fn.saga AS s
    WHERE s.shard = g.shard AND s.name = g.name AND s.version = g.version AND s.due_at <= now()
    ORDER BY s.due_at
    LIMIT 1
) AS first_one
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS sagas
    FROM (
        SELECT 1 AS one
        FROM saga_fn.saga AS s
        WHERE
            s.shard = g.shard AND s.name = g.name AND s.version = g.version
            AND s.due_at <= (now() - :overdue::interval)
        ORDER BY s.due_at
        LIMIT :most::integer
    ) AS o
) AS found
UNION ALL
SELECT
    'failed' AS kind, g.name AS name, g.version AS version, NULL AS status, NULL AS waits,
    found.sagas AS sagas, NULL AS minute, NULL AS moment, false AS is_cut
FROM some_ended AS g
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS sagas
    FROM (
        SELECT 1 AS one
        FROM saga_fn.saga AS s
        WHERE
            s.shard = g.shard AND s.name = g.name AND s.version = g.version
            AND s.status = 'FAILED' AND s.name <> '' AND NOT s.acknowledged
        ORDER BY s.ended_at
        LIMIT :most::integer
    ) AS o
) AS found
WHERE g.status = 'FAILED'
UNION ALL
SELECT
    'ended' AS kind, g.name AS name, g.version AS version, g.status AS status, NULL AS waits,
    found.sagas AS sagas, found.minute AS minute, NULL AS moment, found.is_cut AS is_cut
FROM some_ended AS g
CROSS JOIN LATERAL (
    SELECT
        o.minute,
        count(*)::integer AS sagas,
        sum(count(*)) OVER () >= :most_ends::integer AND o.minute = min(o.minute) OVER () AS is_cut
    FROM (
        SELECT floor(extract(epoch FROM (s.ended_at - :ends_since::timestamptz)) / 60)::integer AS minute
        FROM saga_fn.saga AS s
        WHERE
            s.shard = g.shard AND s.name = g.name AND s.version = g.version AND s.status = g.status
            AND s.ended_at IS NOT NULL AND s.name <> '' AND s.ended_at >= :ends_since::timestamptz
        ORDER BY s.ended_at DESC
        LIMIT :most_ends::integer
    ) AS o
    GROUP BY o.minute
) AS found
UNION ALL
SELECT
    'works' AS kind, each.name AS name, each.version AS version, NULL AS status, NULL AS waits,
    count(*)::integer AS sagas, NULL AS minute, NULL AS moment, false AS is_cut
FROM (
    SELECT seen.names, seen.versions
    FROM saga_fn.saga_process AS seen
    WHERE
        seen.shard = :process_shard::smallint
        AND seen.seen_at > (now() - :lately::interval) AND seen.seen_at <= (now() + :lately::interval)
    ORDER BY seen.seen_at DESC
    LIMIT :most_processes::bigint
) AS p
CROSS JOIN LATERAL unnest(
    p.names[1: :most_definitions::integer], p.versions[1: :most_definitions::integer]
) AS each (name, version)
GROUP BY each.name, each.version
UNION ALL
SELECT
    'paused' AS kind, p.name AS name, 0 AS version, NULL AS status, NULL AS waits,
    0 AS sagas, NULL AS minute, NULL AS moment, false AS is_cut
FROM saga_fn.saga_pause AS p
WHERE p.shard = :process_shard::smallint
