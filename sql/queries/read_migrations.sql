-- name: read_migrations :many MigrationRow
-- The migrations this schema has had, in order.
-- Locks: none.
-- Plan: the whole table, which has a row a migration.
SELECT m.number, m.breaking, m.fingerprint FROM saga_fn.migration AS m ORDER BY m.number
