-- name: delete_sagas :many
-- nullable: keep
-- Delete sagas that have ended, with all that belongs to them. One is left that has moved on from its revision, or has
-- outgoing messages. A tombstone takes the place of those whose start had a key, for the length of `keep` (NULL: for
-- ever). Events for business keys go when they expire, so that a repetition is known until then. `eras` are those of
-- the sagas.
-- Locks: the rows that it deletes. A saga that another session has locked is skipped. For the rest it waits
-- `lock_timeout` milliseconds (55P03).
-- Plan: the primary keys, led by the ids.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
given AS (
    SELECT g.id, g.rev
    FROM ROWS FROM (
        unnest(:ids::uuid[], :revs::bigint[]), generate_series(1, cardinality(:ids::uuid[]))
    ) AS g (id, rev, place)
),
free AS MATERIALIZED (
    SELECT s.id, s.rev, s.name, s.aggregation_id, s.request, s.status, s.ended_at, s.keyed
    FROM saga_fn.saga AS s
    WHERE s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[]) AND s.ended_at IS NOT NULL
    ORDER BY s.id
    FOR UPDATE SKIP LOCKED
),
over AS MATERIALIZED (
    SELECT f.id, f.name, f.aggregation_id, f.request, f.status, f.ended_at, f.keyed
    FROM free AS f
    JOIN given AS g ON g.id = f.id AND g.rev = f.rev
    WHERE ( -- not EXISTS: the planner would make a table of all messages
        SELECT o.rev FROM saga_fn.saga_outgoing AS o WHERE o.shard = :shard::smallint AND o.saga_id = f.id LIMIT 1
    ) IS NULL
),
kept AS (
    INSERT INTO saga_fn.saga_tombstone AS t (
        shard, id, name, aggregation_id, request, status, ended_at, expires_at
    )
    SELECT
        :shard::smallint, o.id, o.name, o.aggregation_id, o.request, o.status, o.ended_at, now() + :keep::interval
    FROM over AS o CROSS JOIN lock_timeout
    WHERE o.keyed
    ORDER BY o.id
    ON CONFLICT (shard, id) DO UPDATE SET
        request = excluded.request, status = excluded.status, ended_at = excluded.ended_at, deleted_at = now(),
        expires_at = excluded.expires_at
),
entries AS (
    DELETE FROM saga_fn.saga_journal AS j
    USING lock_timeout
    WHERE
        j.shard = :shard::smallint AND j.era = ANY(:eras::smallint[]) AND j.saga_id = ANY(:ids::uuid[])
        AND (j.saga_id = ANY (SELECT o.id FROM over AS o)) IS TRUE
),
messages AS (
    DELETE FROM saga_fn.saga_inbox AS i
    USING lock_timeout
    WHERE
        i.shard = :shard::smallint AND i.saga_id = ANY(:ids::uuid[])
        AND (i.saga_id = ANY (SELECT o.id FROM over AS o)) IS TRUE
),
verbs AS (
    DELETE FROM saga_fn.saga_verb AS v
    USING lock_timeout
    WHERE
        v.shard = :shard::smallint AND v.saga_id = ANY(:ids::uuid[])
        AND (v.saga_id = ANY (SELECT o.id FROM over AS o)) IS TRUE
),
attributes AS (
    DELETE FROM saga_fn.saga_attribute AS t
    USING lock_timeout
    WHERE
        t.shard = :shard::smallint AND t.saga_id = ANY(:ids::uuid[])
        AND (t.saga_id = ANY (SELECT o.id FROM over AS o)) IS TRUE
),
records AS (
    DELETE FROM saga_fn.saga_rejection AS r
    USING lock_timeout
    WHERE
        r.shard = :shard::smallint AND r.saga_id = ANY(:ids::uuid[])
        AND (r.saga_id = ANY (SELECT o.id FROM over AS o)) IS TRUE
)
DELETE FROM saga_fn.saga AS s
WHERE
    s.shard = :shard::smallint AND s.id = ANY(:ids::uuid[])
    AND (s.id = ANY (SELECT o.id FROM over AS o)) IS TRUE
RETURNING s.id
