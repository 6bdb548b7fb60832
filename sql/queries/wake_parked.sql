-- name: wake_parked :exec
-- Make sagas due now that were parked because a plan did not fit them, unless something has become of them since.
-- Locks: the rows it writes. Rows that another session has locked are skipped.
-- Plan: the primary key, by the ids.
UPDATE saga_fn.saga AS s
SET due_at = now(), updated_at = now()
WHERE
    s.shard = :shard::smallint
    AND s.id = ANY(
        ARRAY(
            SELECT h.id
            FROM saga_fn.saga AS h
            WHERE
                h.shard = :shard::smallint AND h.id = ANY(:ids::uuid[]) AND h.owner IS NULL
                AND h.waits >= 32 AND h.waits < 64
            ORDER BY h.id
            FOR NO KEY UPDATE SKIP LOCKED
        )
    )
    AND s.owner IS NULL AND s.waits >= 32 AND s.waits < 64
