-- name: read_server :one ServerRow
-- not null: version
-- The server's version (such as 150004), and whether the schema and the table that `migration_table` names, quoted, are
-- there.
-- Locks: none.
-- Plan: catalogs only.
SELECT
    current_setting('server_version_num')::integer AS version,
    EXISTS (SELECT 1 FROM pg_catalog.pg_namespace AS n WHERE n.nspname = :schema::text) AS has_schema,
    to_regclass(:migration_table::text) IS NOT NULL AS has_tables
