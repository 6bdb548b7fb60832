-- name: renew_leases :many RenewedRow
-- Extend the leases a process holds, all at once. A row that is not returned was lost, or is locked at this moment: the
-- caller reads it before it gives it up. Rows are never judged by revision: a commit in flight must not make a renewal
-- miss.
-- Locks: the rows it writes. Rows that another session has locked are skipped.
-- Plan: the primary key. The work grows with the batch: see sql/README.md.
WITH given AS (
    SELECT g.id, g.token
    FROM ROWS FROM (
        unnest(:ids::uuid[], :tokens::uuid[]), generate_series(1, cardinality(:ids::uuid[]))
    ) AS g (id, token, place)
),
held AS (
    SELECT s.id
    FROM saga_fn.saga AS s
    WHERE s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[])
    ORDER BY s.id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE saga_fn.saga AS s
SET due_at = now() + :lease::interval
FROM given AS g
WHERE
    s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[]) AND s.id = g.id
    AND (s.id = ANY (SELECT h.id FROM held AS h)) IS TRUE
    AND s.token = g.token AND s.owner = :owner::uuid
RETURNING s.id, s.inbox_sent, now() AS now
