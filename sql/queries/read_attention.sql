-- name: read_attention :many AttentionRow
-- not null: sagas, ids
-- Findings for a person, by kind, name and version: `parked` sagas; `paused` ones, of which nothing has become durable
-- for `paused_for`; `unowned` ones, due for longer than `lately` (or `left_behind`, where a process works on their
-- name), which no process seen lately works on; those that `failed` and were not acknowledged; `still` ones, which a
-- process owns, and of which nothing has become durable for `still_for`. A lease is short: of the first `most` sagas
-- that are to be due, those that have an owner are judged. Counts stop at `most`; `sagas` are some of them. Names are
-- found by jumping from one to the next in an index, so that the cost grows with the number of names. Those with a time
-- are found from the last one back: while a transaction is open, entries of sagas that ended stand before those of
-- today. Processes are asked as in read_definitions.
-- Locks: none.
-- Plan: ranges of saga_due, saga_parked, saga_failed and saga_process_seen.
WITH RECURSIVE known AS MATERIALIZED (
    SELECT DISTINCT d.name, d.version
    FROM (
        SELECT each.name, each.version
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
        LIMIT :most_definitions_of_all::bigint
    ) AS d
),
timed (shard, name, version) AS (
    SELECT w.shard, f.name, f.version
    FROM unnest(:shards::smallint[]) AS w (shard)
    CROSS JOIN LATERAL (
        SELECT s.name, s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = w.shard AND s.due_at IS NOT NULL
        ORDER BY s.name DESC, s.version DESC, s.due_at DESC
        LIMIT 1
    ) AS f
    UNION ALL
    SELECT t.shard, f.name, f.version
    FROM timed AS t
    CROSS JOIN LATERAL (
        SELECT s.name, s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = t.shard AND (s.name, s.version) < (t.name, t.version) AND s.due_at IS NOT NULL
        ORDER BY s.name DESC, s.version DESC, s.due_at DESC
        LIMIT 1
    ) AS f
),
parked (shard, name, version) AS (
    SELECT w.shard, f.name, f.version
    FROM unnest(:shards::smallint[]) AS w (shard)
    CROSS JOIN LATERAL (
        SELECT s.name, s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = w.shard AND s.waits >= 16 AND s.name <> ''
        ORDER BY s.name, s.version
        LIMIT 1
    ) AS f
    UNION ALL
    SELECT p.shard, f.name, f.version
    FROM parked AS p
    CROSS JOIN LATERAL (
        SELECT s.name, s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = p.shard AND (s.name, s.version) > (p.name, p.version) AND s.waits >= 16 AND s.name <> ''
        ORDER BY s.name, s.version
        LIMIT 1
    ) AS f
),
failed (shard, name, version) AS (
    SELECT w.shard, f.name, f.version
    FROM unnest(:shards::smallint[]) AS w (shard)
    CROSS JOIN LATERAL (
        SELECT s.name, s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = w.shard AND s.status = 'FAILED' AND s.name <> ''
        ORDER BY s.name, s.version
        LIMIT 1
    ) AS f
    UNION ALL
    SELECT e.shard, f.name, f.version
    FROM failed AS e
    CROSS JOIN LATERAL (
        SELECT s.name, s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = e.shard AND (s.name, s.version) > (e.name, e.version) AND s.status = 'FAILED' AND s.name <> ''
        ORDER BY s.name, s.version
        LIMIT 1
    ) AS f
)
SELECT 'unowned' AS kind, t.name, t.version, found.sagas, found.ids
FROM timed AS t
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN EXISTS (SELECT 1 FROM known AS k WHERE k.name = t.name) THEN :left_behind::interval
            ELSE :lately::interval
        END AS length
) AS grace
CROSS JOIN LATERAL (
    SELECT
        cardinality(o.ids) AS sagas,
        o.ids[1:3] AS ids
    FROM (
        SELECT
            ARRAY(
                SELECT s.id
                FROM saga_fn.saga AS s
                WHERE
                    s.shard = t.shard AND s.name = t.name AND s.version = t.version
                    AND s.due_at <= (now() - grace.length)
                ORDER BY s.due_at
                LIMIT :most::integer
            ) AS ids
    ) AS o
) AS found
WHERE
    found.sagas > 0
    AND NOT EXISTS (SELECT 1 FROM known AS k WHERE k.name = t.name AND k.version = t.version)
UNION ALL
SELECT 'still' AS kind, t.name, t.version, found.sagas, found.ids
FROM timed AS t
CROSS JOIN LATERAL (
    SELECT
        count(*)::integer AS sagas,
        (array_agg(n.id ORDER BY n.updated_at))[1:3] AS ids
    FROM (
        SELECT s.id, s.owner, s.updated_at
        FROM saga_fn.saga AS s
        WHERE s.shard = t.shard AND s.name = t.name AND s.version = t.version AND s.due_at > now()
        ORDER BY s.due_at
        LIMIT :most::integer
    ) AS n
    WHERE n.owner IS NOT NULL AND n.updated_at <= (now() - :still_for::interval)
) AS found
WHERE found.sagas > 0
UNION ALL
SELECT 'parked' AS kind, p.name, p.version, found.sagas, found.ids
FROM parked AS p
CROSS JOIN LATERAL (
    SELECT
        cardinality(o.ids) AS sagas,
        o.ids[1:3] AS ids
    FROM (
        SELECT
            ARRAY(
                SELECT s.id
                FROM saga_fn.saga AS s
                WHERE
                    s.shard = p.shard AND s.name = p.name AND s.version = p.version AND s.waits >= 16 AND s.name <> ''
                    AND s.waits & 16 <> 0
                LIMIT :most::integer
            ) AS ids
    ) AS o
) AS found
WHERE found.sagas > 0
UNION ALL
SELECT 'paused' AS kind, p.name, p.version, found.sagas, found.ids
FROM parked AS p
CROSS JOIN LATERAL (
    SELECT
        cardinality(o.ids) AS sagas,
        o.ids[1:3] AS ids
    FROM (
        SELECT
            ARRAY(
                SELECT s.id
                FROM saga_fn.saga AS s
                WHERE
                    s.shard = p.shard AND s.name = p.name AND s.version = p.version AND s.waits >= 16 AND s.name <> ''
                    AND s.waits & 64 <> 0 AND s.updated_at <= (now() - :paused_for::interval)
                LIMIT :most::integer
            ) AS ids
    ) AS o
) AS found
WHERE found.sagas > 0
UNION ALL
SELECT 'failed' AS kind, e.name, e.version, found.sagas, found.ids
FROM failed AS e
CROSS JOIN LATERAL (
    SELECT
        cardinality(o.ids) AS sagas,
        o.ids[1:3] AS ids
    FROM (
        SELECT
            ARRAY(
                SELECT s.id
                FROM saga_fn.saga AS s
                WHERE
                    s.shard = e.shard AND s.name = e.name AND s.version = e.version AND s.status = 'FAILED'
                    AND s.name <> '' AND NOT s.acknowledged
                ORDER BY s.ended_at DESC
                LIMIT :most::integer
            ) AS ids
    ) AS o
) AS found
WHERE found.sagas > 0
