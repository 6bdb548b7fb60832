-- name: find_sagas_in_range :many AttributeRow
-- Find the sagas of these names whose value is `low` or comes after it, and comes before `high`: `most` of them, in no
-- order that counts.
-- Locks: none.
-- Plan: a range of saga_attribute_value for each shard and name.
SELECT f.shard, f.created_at, f.saga_id
FROM unnest(:shards::smallint[], :names::text[]) AS w (shard, name)
CROSS JOIN LATERAL (
    SELECT a.shard, a.created_at, a.saga_id
    FROM saga_fn.saga_attribute AS a
    WHERE
        a.shard = w.shard AND a.name = w.name AND a.key = :key::text
        AND a.value >= :low::text AND a.value < :high::text
    LIMIT :most::integer
) AS f
LIMIT :most::integer
