-- name: release_sagas :execrows
-- Hand claimed sagas back as they are, due at once: nothing of them was begun under this claim.
WITH given AS (
    SELECT g.id, g.token
    FROM ROWS FROM ( -- as in commit_sagas
        unnest(:ids::uuid[], :tokens::uuid[]), generate_series(1, cardinality(:ids::uuid[]))
    ) AS g (id, token, place)
)
UPDATE saga_fn.saga AS s
SET token = NULL, owner = NULL, due_at = now(), updated_at = now()
FROM given AS g
WHERE s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[]) AND s.id = g.id AND s.token = g.token
