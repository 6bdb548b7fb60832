-- name: drop_processes :execrows
-- Forget one process, which has ended, and all that have said nothing for as long as `silent`. Locks: rows that another
-- session has locked are skipped.
DELETE FROM saga_fn.saga_process AS p
WHERE
    p.shard = :shard::smallint
    AND p.id = ANY(
        ARRAY(
            SELECT gone.id
            FROM saga_fn.saga_process AS gone
            WHERE
                gone.shard = :shard::smallint
                AND (gone.id = :id::uuid OR gone.seen_at <= (now() - :silent::interval))
            ORDER BY gone.id
            FOR UPDATE SKIP LOCKED
        )
    )
