-- name: read_invalid_indexes :many InvalidIndexRow
-- not null: name
-- Indexes of a schema that CREATE INDEX CONCURRENTLY has not finished, as quoted names. `building`: a session is at it
-- now.
-- Locks: none.
-- Plan: catalogs only.
SELECT
    format('%I.%I', n.nspname, c.relname) AS name,
    EXISTS (SELECT 1 FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid) AS building
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = :schema::text AND NOT i.indisvalid
ORDER BY c.relname
