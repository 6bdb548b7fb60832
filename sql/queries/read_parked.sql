-- name: read_parked :many ParkedRow
-- Sagas of these names and versions that were parked because a plan did not fit them, by their ids, those after
-- `after`.
-- Locks: none.
-- Plan: a range of saga_unfit a shard, name and version.
SELECT f.id, f.name, f.version, f.plan, f.state
FROM unnest(:shards::smallint[]) AS w (shard)
CROSS JOIN unnest(:names::text[], :versions::integer[]) AS d (name, version)
CROSS JOIN LATERAL (
    SELECT s.id, s.name, s.version, s.plan, s.state
    FROM saga_fn.saga AS s
    WHERE
        s.shard = w.shard AND s.name = d.name AND s.version = d.version AND s.id > :after::uuid
        AND s.waits >= 32 AND s.waits < 64 AND s.name <> '' AND s.format = ANY(:formats::smallint[])
    ORDER BY s.id
    LIMIT :most::integer
) AS f
ORDER BY f.id
LIMIT :most::integer
