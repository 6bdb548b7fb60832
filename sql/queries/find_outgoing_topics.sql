-- name: find_outgoing_topics :many OutgoingTopicRow
-- not null: shard, topic
-- The topics that have outgoing messages which may be taken. It writes nothing.
-- Locks: none.
-- Plan: two probes of saga_outgoing_due a shard and topic, however many messages there are.
WITH RECURSIVE topics AS (
    SELECT
        w.shard,
        (
            SELECT o.topic
            FROM saga_fn.saga_outgoing AS o
            WHERE o.shard = w.shard AND o.topic <> '' AND o.dead_at IS NULL
            ORDER BY o.topic
            LIMIT 1
        ) AS topic
    FROM unnest(:shards::smallint[]) AS w (shard)
    UNION ALL
    SELECT
        t.shard,
        (
            SELECT o.topic
            FROM saga_fn.saga_outgoing AS o
            WHERE o.shard = t.shard AND o.topic <> '' AND o.dead_at IS NULL AND o.topic > t.topic
            ORDER BY o.topic
            LIMIT 1
        ) AS topic
    FROM topics AS t
    WHERE t.topic IS NOT NULL
)
SELECT t.shard, t.topic
FROM topics AS t
WHERE
    t.topic IS NOT NULL
    AND ( -- not EXISTS: the planner would make a join of it, with all that is due
        SELECT o.due_at
        FROM saga_fn.saga_outgoing AS o
        WHERE o.shard = t.shard AND o.topic = t.topic AND o.topic <> '' AND o.dead_at IS NULL
        ORDER BY o.due_at
        LIMIT 1
    ) <= now()
