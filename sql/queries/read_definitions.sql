-- name: read_definitions :many DefinitionRow
-- What the other processes work on that were seen within `seen_within`: names, versions and the fingerprints of their plans.
-- Locks: none.
SELECT DISTINCT d.name, d.version, d.plan
FROM saga_fn.saga_process AS p
CROSS JOIN LATERAL unnest(p.names, p.versions, p.plans) AS d (name, version, plan)
WHERE p.shard = :shard::smallint AND p.id <> :id::uuid AND p.seen_at > (now() - :seen_within::interval)
