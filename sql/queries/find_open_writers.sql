-- name: find_open_writers :many
-- not null: name
-- The open transactions that may have written a saga: each holds its lock of the table until it is over.
-- Locks: none.
-- Plan: catalogs only, and the locks that the server has in memory.
SELECT l.virtualtransaction AS name
FROM pg_catalog.pg_locks AS l
WHERE
    l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
    AND l.relation = ANY(
        ARRAY(
            SELECT c.oid
            FROM pg_catalog.pg_class AS c
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = :schema::text AND c.relname = 'saga'
        )
    )
ORDER BY l.virtualtransaction
