-- name: read_event_was_got :one
-- Whether one of `most` sagas of a business key that have ended had got an event with this id, by its own id.
-- Locks: none.
-- Plan: saga_ended_key, with a probe of the inbox's primary key for each saga.
SELECT EXISTS (
    SELECT 1
    FROM (
        SELECT s.id
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = :name::text AND s.aggregation_id = :aggregation_id::text
            AND s.ended_at IS NOT NULL
        LIMIT :most::bigint
    ) AS over
    WHERE ( -- not a join: the planner would walk the inbox
        SELECT i.id
        FROM saga_fn.saga_inbox AS i
        WHERE i.shard = :shard::smallint AND i.saga_id = over.id AND i.id = :id::uuid
        LIMIT 1
    ) IS NOT NULL
) AS got
