-- name: read_sizes :many SizeRow
-- not null: table_name, bytes, row_estimate
-- The tables of a schema with their bytes, those of indexes and partitions among them, and about how many rows each
-- has: -1 if it was never analysed.
-- Locks: none.
-- Plan: catalogs only.
SELECT
    c.relname::text AS table_name,
    coalesce(
        (SELECT sum(pg_total_relation_size(p.relid)) FROM pg_partition_tree(c.oid) AS p),
        pg_total_relation_size(c.oid)
    )::bigint AS bytes,
    c.reltuples::bigint AS row_estimate
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = :schema::text AND c.relkind = ANY(ARRAY['r', 'p']::"char"[]) AND NOT c.relispartition
ORDER BY c.relname
