-- name: count_outgoing :one OutgoingCountRow
-- nullable: oldest
-- not null: waiting, dead
-- How many outgoing messages wait, and since when the oldest of those that were counted does; how many are dead. Counts
-- stop at `most` a shard.
-- Locks: none.
-- Plan: ranges of saga_outgoing_due and saga_outgoing_dead, `most` rows of each a shard.
SELECT
    (
        SELECT count(w.topic)
        FROM unnest(:shards::smallint[]) AS h (shard)
        CROSS JOIN LATERAL (
            SELECT o.topic
            FROM saga_fn.saga_outgoing AS o
            WHERE o.shard = h.shard AND o.topic <> '' AND o.dead_at IS NULL
            LIMIT :most::integer
        ) AS w
    ) AS waiting,
    (
        SELECT min(w.created_at)
        FROM unnest(:shards::smallint[]) AS h (shard)
        CROSS JOIN LATERAL (
            SELECT o.created_at
            FROM saga_fn.saga_outgoing AS o
            WHERE o.shard = h.shard AND o.topic <> '' AND o.dead_at IS NULL
            LIMIT :most::integer
        ) AS w
    ) AS oldest,
    (
        SELECT count(d.topic)
        FROM unnest(:shards::smallint[]) AS h (shard)
        CROSS JOIN LATERAL (
            SELECT o.topic
            FROM saga_fn.saga_outgoing AS o
            WHERE o.shard = h.shard AND o.dead_at IS NOT NULL
            LIMIT :most::integer
        ) AS d
    ) AS dead
