-- name: delete_sent_events :many
-- Forget events that were sent in callers' transactions: each is where it belongs, or no saga gets it any more. Gives
-- the ids of those that were there: no two processes tell of one event.
-- Locks: the rows it deletes. Rows that another session has locked are skipped.
-- Plan: the primary key.
DELETE FROM saga_fn.saga_sent AS e
WHERE
    e.shard = :shard::smallint
    AND e.id = ANY(
        ARRAY(
            SELECT done.id
            FROM saga_fn.saga_sent AS done
            WHERE done.shard = :shard::smallint AND done.id = ANY(:ids::uuid[])
            ORDER BY done.id
            FOR UPDATE SKIP LOCKED
        )
    )
RETURNING e.id
