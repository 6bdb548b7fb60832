-- name: read_attributes :many SetAttribute
-- Read the search attributes of sagas.
-- Locks: none.
-- Plan: a range of the primary key for each saga. LIMIT keeps the planner from a join that would walk the table: a saga
-- has no more.
SELECT f.saga_id, f.key, f.value
FROM unnest(:shards::smallint[], :ids::uuid[]) AS w (shard, id)
CROSS JOIN LATERAL (
    SELECT a.saga_id, a.key, a.value
    FROM saga_fn.saga_attribute AS a
    WHERE a.shard = w.shard AND a.saga_id = w.id
    ORDER BY a.key
    LIMIT 1000
) AS f
