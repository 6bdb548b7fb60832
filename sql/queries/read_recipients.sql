-- name: read_recipients :many RecipientRow
-- nullable: saga_id
-- not null: place, known, has_kept
-- Who gets events that are sent to business keys, by the places of the latter. `saga_id`: the saga that is active under
-- the key. `known`: an event with this id was sent to the key before. `has_kept`: others wait for the key, which come
-- first.
-- Locks: none.
-- Plan: for each key a probe of saga_active_key, one of the primary key of the kept events, and a range of
-- saga_event_kept.
SELECT
    g.place,
    (
        SELECT s.id
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = g.name AND s.aggregation_id = g.aggregation_id
            AND s.ended_at IS NULL
        LIMIT 1
    ) AS saga_id,
    (
        SELECT count(*)
        FROM (
            SELECT e.id
            FROM saga_fn.saga_event AS e
            WHERE
                e.shard = :shard::smallint AND e.name = g.name AND e.aggregation_id = g.aggregation_id AND e.id = g.id
            LIMIT 1
        ) AS e
    ) > 0 AS known,
    (
        SELECT count(*)
        FROM (
            SELECT e.id
            FROM saga_fn.saga_event AS e
            WHERE
                e.shard = :shard::smallint AND e.name = g.name AND e.aggregation_id = g.aggregation_id
                AND e.taken_by IS NULL
            LIMIT 1
        ) AS e
    ) > 0 AS has_kept
FROM ROWS FROM (
    unnest(:names::text[], :aggregation_ids::text[], :ids::uuid[]), generate_series(1, cardinality(:ids::uuid[]))
) AS g (name, aggregation_id, id, place)
