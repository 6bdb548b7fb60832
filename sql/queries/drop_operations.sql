-- name: drop_operations :execrows
-- Delete `most` acts of operators that are over and began more than `kept` ago, the oldest first.
-- Locks: the rows it deletes. Rows that another session has locked are skipped.
-- Plan: a range of saga_operation_began, and the rows by their places.
WITH old AS MATERIALIZED (
    SELECT o.ctid AS place, o.began_at
    FROM saga_fn.saga_operation AS o
    WHERE
        o.shard = :shard::smallint AND o.verb <> '' AND o.began_at < (now() - :kept::interval) AND o.state = 'done'
    ORDER BY o.began_at, o.id
    LIMIT :most::integer
    FOR UPDATE SKIP LOCKED
)
DELETE FROM saga_fn.saga_operation AS o
WHERE
    o.shard = :shard::smallint AND o.ctid = ANY(ARRAY(SELECT w.place FROM old AS w))
    -- Or a plan that was made for an empty table walks all of them.
    AND o.verb <> '' AND o.began_at <= (SELECT max(w.began_at) FROM old AS w)
