-- name: read_attribute_is_known :one
-- Tell whether a saga of one of these names has a value of that attribute and of that type, from `low` to `high`.
-- Locks: none.
-- Plan: a probe of saga_attribute_value for each shard and name.
SELECT EXISTS (
    SELECT 1
    FROM unnest(:shards::smallint[], :names::text[]) AS w (shard, name)
    CROSS JOIN LATERAL (
        SELECT a.saga_id
        FROM saga_fn.saga_attribute AS a
        WHERE
            a.shard = w.shard AND a.name = w.name AND a.key = :key::text
            AND a.value >= :low::text AND a.value < :high::text
        LIMIT 1
    ) AS f
) AS known
