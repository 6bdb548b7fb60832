-- name: read_health :one HealthRow
-- nullable: next_due
-- The server's time, and when the first saga of these definitions is or was due.
SELECT
    now() AS now,
    (
        SELECT min(found.due_at)
        FROM unnest(:shards::smallint[]) AS w (shard)
        CROSS JOIN unnest(:names::text[], :versions::integer[]) AS d (name, version)
        CROSS JOIN LATERAL (
            SELECT s.due_at
            FROM saga_fn.saga AS s
            WHERE s.shard = w.shard AND s.name = d.name AND s.version = d.version AND s.due_at IS NOT NULL
            ORDER BY s.due_at
            LIMIT 1
        ) AS found
    ) AS next_due
