-- name: drop_operations :execrows
-- Delete `most` acts of operators that are over and began more than `kept` ago, the oldest first.
-- Locks: the rows it deletes. Rows that another session has locked are skipped.
-- Plan: a range of saga_operation_began, and the rows by their places.
DELETE FROM saga_fn.saga_operation AS o
WHERE
    o.shard = :shard::smallint
    AND o.ctid = ANY(
        ARRAY(
            SELECT h.ctid
            FROM saga_fn.saga_operation AS h
            WHERE h.shard = :shard::smallint AND h.began_at < (now() - :kept::interval) AND h.state = 'done'
            ORDER BY h.began_at, h.id
            LIMIT :most::integer
            FOR UPDATE SKIP LOCKED
        )
    )
