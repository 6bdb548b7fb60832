-- name: read_store_name :one
-- not null: name
-- A name that no other store has: that of its database, within the server, and the one that its first migration chose.
-- Locks: none.
-- Plan: the primary key, and an index of the catalog.
SELECT d.oid::text || ' ' || coalesce((SELECT t.value FROM saga_fn.setting AS t WHERE t.name = 'store'), '') AS name
FROM pg_catalog.pg_database AS d
WHERE d.datname = current_database()
