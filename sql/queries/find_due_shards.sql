-- name: find_due_shards :many DueShardRow
-- nullable: since
-- not null: shard, due_at
-- Which of these shards have something to claim, and since when the oldest of it is due: the idle poll. It writes
-- nothing. With `since` only what is due since then counts. While a transaction is open, the index keeps an entry for
-- each saga that has ended since it began. A look that begins at the oldest walks them all. A claim that begins at
-- `due_at` does not. The shard -1 is none: it says that events which were sent in callers' transactions are due.
-- Locks: none.
-- Plan: one probe of saga_due a shard and definition, and one of saga_sent_due.
SELECT
    w.shard,
    found.due_at
FROM unnest(:shards::smallint[]) AS w (shard)
CROSS JOIN LATERAL (
    SELECT min(f.due_at) AS due_at
    FROM unnest(:names::text[], :versions::integer[]) AS d (name, version)
    CROSS JOIN LATERAL (
        SELECT s.due_at
        FROM saga_fn.saga AS s
        WHERE
            s.shard = w.shard AND s.name = d.name AND s.version = d.version AND s.due_at <= now()
            AND s.due_at >= coalesce(:since::timestamptz, '-infinity'::timestamptz)
            AND s.format = ANY(:formats::smallint[])
            AND EXISTS (
                SELECT 1
                FROM saga_fn.saga_pause AS p
                WHERE p.shard = 0::smallint AND p.name = ANY(ARRAY[''::text, d.name])
            ) IS FALSE -- not "NOT EXISTS": so it is asked once a definition, and not of each row
        ORDER BY s.due_at
        LIMIT 1
    ) AS f
) AS found
WHERE found.due_at IS NOT NULL
UNION ALL
SELECT
    -1::smallint AS shard,
    now() AS due_at
WHERE EXISTS (SELECT 1 FROM saga_fn.saga_sent AS e WHERE e.shard = 0::smallint AND e.due_at <= now())
