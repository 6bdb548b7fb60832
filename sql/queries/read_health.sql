-- name: read_health :one HealthRow
-- nullable: next_due, newest_era
-- not null: is_read_only
-- The server's time, when the first saga of these definitions is or was due, whether the server takes no writes.
-- `newest_era` is the newest one that the journal has a partition for.
-- Without `past_waits`, sagas that an event will wake before their time has come are left out, unless they wait for a
-- retry as well. Names that are paused are left out.
-- Locks: none.
-- Plan: one probe of saga_due for each shard and definition.
SELECT
    now() AS now,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_read_only,
    (SELECT max(e.era) FROM saga_fn.journal_era AS e) AS newest_era,
    (
        SELECT min(found.due_at)
        FROM unnest(:shards::smallint[]) AS w (shard)
        CROSS JOIN unnest(:names::text[], :versions::integer[]) AS d (name, version)
        CROSS JOIN LATERAL (
            SELECT s.due_at
            FROM saga_fn.saga AS s
            WHERE
                s.shard = w.shard AND s.name = d.name AND s.version = d.version AND s.due_at IS NOT NULL
                AND (:past_waits::boolean OR s.waits & 4 = 0 OR s.waits & 1 <> 0 OR s.due_at <= now())
                AND EXISTS (
                    SELECT 1
                    FROM saga_fn.saga_pause AS p
                    WHERE p.shard = 0::smallint AND p.name = ANY(ARRAY[''::text, d.name])
                ) IS FALSE -- not "NOT EXISTS": so it is asked once a definition, and not of each row
            ORDER BY s.due_at
            LIMIT 1
        ) AS found
    ) AS next_due
