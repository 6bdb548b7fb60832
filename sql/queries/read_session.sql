-- name: read_session :one SessionRow
-- not null: pid, role, database, version, is_replica, is_read_only
-- The session as the server has it. A pooler tells its clients other process numbers than those of the server.
-- Locks: none.
-- Plan: none: it reads no table.
SELECT
    pg_backend_pid() AS pid,
    current_user::text AS role,
    current_database()::text AS database,
    current_setting('server_version') AS version,
    pg_is_in_recovery() AS is_replica,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_read_only,
    now() AS now
