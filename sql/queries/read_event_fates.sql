-- name: read_event_fates :many EventFateRow
-- nullable: answer
-- not null: place, wakes
-- The answers to events, NULL while no owner has read them, by the places of the events; and who could give an answer:
-- whether the saga has `ended`, whether it is `free` of an owner, and whether a message `wakes` it. A saga that is not
-- there is left out.
-- Locks: none.
-- Plan: for each event the primary keys of saga and of the inbox. LIMIT keeps the planner from a join that would walk
-- the shard, if it was planned when the table was empty.
SELECT
    g.place,
    (
        SELECT i.answer
        FROM saga_fn.saga_inbox AS i
        WHERE i.shard = :shard::smallint AND i.saga_id = g.saga_id AND i.id = g.id
        LIMIT 1
    ) AS answer,
    f.name,
    f.version,
    f.plan,
    f.ended,
    f.free,
    f.wakes
FROM ROWS FROM (
    unnest(:saga_ids::uuid[], :ids::uuid[]), generate_series(1, cardinality(:ids::uuid[]))
) AS g (saga_id, id, place)
CROSS JOIN LATERAL (
    SELECT
        s.name,
        s.version,
        s.plan,
        (s.ended_at IS NOT NULL) AS ended,
        (s.owner IS NULL) AND (s.ended_at IS NULL) AS free,
        (s.waits & 8) = 0 AS wakes
    FROM saga_fn.saga AS s
    WHERE s.shard = :shard::smallint AND s.id = g.saga_id
    LIMIT 1
) AS f
