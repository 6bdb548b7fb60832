-- name: delete_pause :optional
-- nullable: since
-- End the pause of a name, or with the empty name that of everything; with `since` only the one that began then.
-- Nothing comes back if there is none.
-- Locks: the row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key, and the row by its place.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
DELETE FROM saga_fn.saga_pause AS p
WHERE
    p.shard = :shard::smallint
    AND p.ctid = ANY(
        ARRAY(
            SELECT h.ctid
            FROM lock_timeout CROSS JOIN saga_fn.saga_pause AS h
            WHERE h.shard = :shard::smallint AND h.name = :name::text
                AND (:since::timestamptz IS NULL OR h.paused_at = :since::timestamptz)
            ORDER BY h.name
            FOR UPDATE
        )
    )
RETURNING p.name
