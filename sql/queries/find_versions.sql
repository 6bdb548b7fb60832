-- name: find_versions :many FoundVersion
-- not null: shard
-- Find the versions of the sagas of a name that there are, in each shard, by jumping from one to the next.
-- Locks: none.
-- Plan: a probe of saga_created for each shard and version.
WITH RECURSIVE found (shard, version) AS (
    SELECT w.shard, f.version
    FROM unnest(:shards::smallint[]) AS w (shard)
    CROSS JOIN LATERAL (
        SELECT s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = w.shard AND s.name = :name::text AND s.name <> ''
        ORDER BY s.version
        LIMIT 1
    ) AS f
    UNION ALL
    SELECT b.shard, f.version
    FROM found AS b
    CROSS JOIN LATERAL (
        SELECT s.version
        FROM saga_fn.saga AS s
        WHERE s.shard = b.shard AND s.name = :name::text AND s.name <> '' AND s.version > b.version
        ORDER BY s.version
        LIMIT 1
    ) AS f
)
SELECT b.shard, b.version, now() AS now
FROM found AS b
LIMIT :most::integer
