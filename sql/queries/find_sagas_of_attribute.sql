-- name: find_sagas_of_attribute :many AttributeRow
-- Find the sagas of these names that have a value, newest start first, from (`at`, `at_id`) on down to `bound`.
-- Locks: none.
-- Plan: a range of saga_attribute_value for each shard and name.
SELECT f.shard, f.created_at, f.saga_id
FROM unnest(:shards::smallint[], :names::text[]) AS w (shard, name)
CROSS JOIN LATERAL (
    SELECT a.shard, a.created_at, a.saga_id
    FROM saga_fn.saga_attribute AS a
    WHERE
        a.shard = w.shard AND a.name = w.name AND a.key = :key::text AND a.value = :value::text
        AND (a.created_at, a.saga_id) < (:at::timestamptz, :at_id::uuid) AND a.created_at >= :bound::timestamptz
    ORDER BY a.created_at DESC, a.saga_id DESC
    LIMIT :most::integer
) AS f
ORDER BY f.created_at DESC, f.saga_id DESC
LIMIT :most::integer
