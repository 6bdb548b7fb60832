-- name: read_mode :one ModeRow
-- not null: is_replica, is_read_only
-- Whether the server is a replica, and whether it takes no writes, for that or another reason.
-- Locks: none.
-- Plan: none: it reads no table.
SELECT
    pg_is_in_recovery() AS is_replica,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_read_only
