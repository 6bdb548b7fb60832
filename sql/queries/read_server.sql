-- name: read_server :one ServerRow
-- not null: version
-- The server's version (such as 150004), and whether the schema and the table that `migration_table` names, quoted, are
-- there; and whether that table has fingerprints, as all have but those that a version before the first release made.
-- Locks: none.
-- Plan: catalogs only.
SELECT
    current_setting('server_version_num')::integer AS version,
    EXISTS (SELECT 1 FROM pg_catalog.pg_namespace AS n WHERE n.nspname = :schema::text) AS has_schema,
    to_regclass(:migration_table::text) IS NOT NULL AS has_tables,
    EXISTS (
        SELECT 1
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = to_regclass(:migration_table::text) AND a.attname = 'fingerprint'
    ) AS has_fingerprints
