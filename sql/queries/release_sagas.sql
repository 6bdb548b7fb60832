-- name: release_sagas :exec
-- Hand claimed sagas back as they are, due when `pause` is over: nothing of them was begun under this claim.
-- Locks: the rows it writes. A row that another session has locked is skipped, and left to its lease: a wait for it
-- would hold up the renewals behind.
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
SET token = NULL, owner = NULL, due_at = now() + :pause::interval, updated_at = now()
FROM given AS g
WHERE
    s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[]) AND s.id = g.id AND s.token = g.token
    AND (s.id = ANY (SELECT h.id FROM held AS h)) IS TRUE
