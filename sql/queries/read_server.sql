-- name: read_server :one ServerRow
-- The server's version (such as 150004), whether the schema and the table that `migration_table` names, quoted, are there,
-- and whether it is a replica, or takes no writes for another reason.
SELECT
    current_setting('server_version_num')::integer AS version,
    EXISTS (SELECT 1 FROM pg_catalog.pg_namespace AS n WHERE n.nspname = :schema::text) AS has_schema,
    to_regclass(:migration_table::text) IS NOT NULL AS has_tables,
    pg_is_in_recovery() AS is_replica,
    current_setting('transaction_read_only')::boolean AS is_read_only
