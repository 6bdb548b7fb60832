-- name: find_definitions :many FoundDefinition
-- not null: shard
-- Find the names and versions of the sagas that there are, in each shard, by jumping from one to the next.
-- Locks: none.
-- Plan: a probe of saga_created for each shard, name and version.
WITH RECURSIVE found (shard, name, version) AS (
    SELECT w.shard, f.name, f.version
    FROM unnest(:shards::smallint[]) AS w (shard)
    CROSS JOIN LATERAL (
        SELECT s.name, s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = w.shard AND s.name <> ''
        ORDER BY s.name, s.version
        LIMIT 1
    ) AS f
    UNION ALL
    SELECT b.shard, f.name, f.version
    FROM found AS b
    CROSS JOIN LATERAL (
        SELECT s.name, s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = b.shard AND s.name <> '' AND (s.name, s.version) > (b.name, b.version)
        ORDER BY s.name, s.version
        LIMIT 1
    ) AS f
)
SELECT b.shard, b.name, b.version, now() AS now
FROM found AS b
LIMIT :most::integer
