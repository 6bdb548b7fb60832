-- name: send_events :many EventsSentRow
-- also: send_events_and_claim
-- nullable: tokens[], k_expires[], answer, aggregation_id, token, last_error
-- not null: saga_id, stored, is_full, fits, is_alone
-- Leave events for the owners of many sagas, one a saga at most, each judged by itself. send_event says what an event
-- does to its saga's row. A saga that is not returned is not there. An event is not stored if it is `known`, if its
-- saga has `ended`, or if the inbox is full. Nor is it if the sender has not judged it by the saga's definition
-- (`fits`). `f_groups` to `f_plans` list definitions, and `groups` says which of them are for which event. If none of
-- that is so, and it is not `told` either, another session has the row locked: the sender asks again. A saga without an
-- owner is due after `graces` milliseconds, in which its sender reads the event itself. The other statement claims it
-- for the sender's process. It does so where a token is given, and the saga waits for an event and for no person.
-- `is_alone`: no other message was unread, and none has come since the statement looked. The events of `k_saga_ids`
-- were sent to the business keys of these sagas, which remember them until they expire.
-- Locks: the sagas' rows, in one order, those alone of which an event is to be stored. Rows that another session has
-- locked are skipped. For the key of a row that another session has just inserted, and for a table, the statement waits
-- `lock_timeout` milliseconds (55P03).
-- Plan: the primary keys, and for each saga a range of saga_inbox_unread and one of the primary key of saga_verb. The
-- work grows with the batch.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
given AS MATERIALIZED (
    SELECT g.saga_id, g.id, g.body, g.grp, g.grace, g.token
    FROM ROWS FROM (
        unnest(
            :saga_ids::uuid[], :ids::uuid[], :bodies::bytea[], :groups::smallint[], :graces::integer[],
            :tokens::uuid[]
        ),
        generate_series(1, cardinality(:saga_ids::uuid[]))
    ) AS g (saga_id, id, body, grp, grace, token, place)
),
seen AS MATERIALIZED (
    SELECT
        g.saga_id, g.id, g.body, s.inbox_sent, s.name, s.version, s.aggregation_id, s.trace_id, s.plan,
        s.state, s.rev, s.token AS held, s.created_at,
        (s.ended_at IS NOT NULL) AS ended,
        (i.id IS NOT NULL) AS known,
        i.answer,
        (
            (g.grp, s.name, s.version, s.plan) = ANY (
                SELECT f.grp, f.name, f.version, f.plan
                FROM unnest(:f_groups::smallint[], :f_names::text[], :f_versions::integer[], :f_plans::text[])
                    AS f (grp, name, version, plan)
            )
        ) IS TRUE AS fits,
        (
            SELECT count(*)
            FROM (
                SELECT u.id
                FROM saga_fn.saga_inbox AS u
                WHERE u.shard = :shard::smallint AND u.saga_id = s.id AND u.answer IS NULL
                LIMIT :most::bigint
            ) AS u
        ) AS unread,
        (
            SELECT count(*)
            FROM (
                SELECT v.id
                FROM saga_fn.saga_verb AS v
                WHERE v.shard = :shard::smallint AND v.saga_id = s.id AND v.answer IS NULL
                LIMIT 1
            ) AS v
        ) AS asked
    FROM given AS g
    JOIN saga_fn.saga AS s ON s.shard = :shard::smallint AND s.id = ANY(:saga_ids::uuid[]) AND s.id = g.saga_id
    LEFT JOIN saga_fn.saga_inbox AS i
        ON
            i.shard = :shard::smallint AND i.saga_id = ANY(:saga_ids::uuid[]) AND i.id = ANY(:ids::uuid[])
            AND i.saga_id = g.saga_id AND i.id = g.id
),
free AS MATERIALIZED (
    SELECT
        s.id,
        (s.ended_at IS NULL) AS is_live -- not below, where it would lead the planner to another index
    FROM saga_fn.saga AS s
    WHERE
        s.shard = :shard::smallint
        AND s.id = ANY(
            ARRAY(
                SELECT w.saga_id
                FROM seen AS w
                WHERE NOT w.known AND NOT w.ended AND w.fits AND w.unread < :most::bigint
            )
        )
    ORDER BY s.id
    FOR NO KEY UPDATE SKIP LOCKED
),
told AS (
    UPDATE saga_fn.saga AS s
    SET
        inbox_sent = s.inbox_sent + 1,
-- also: begin
        token = CASE
            WHEN s.owner IS NULL AND g.token IS NOT NULL AND s.waits = ANY(ARRAY[4, 5, 6, 7]::smallint[])
                THEN g.token
            ELSE s.token
        END,
        owner = CASE
            WHEN s.owner IS NULL AND g.token IS NOT NULL AND s.waits = ANY(ARRAY[4, 5, 6, 7]::smallint[])
                THEN :owner::uuid
            ELSE s.owner
        END,
        updated_at = CASE
            WHEN s.owner IS NULL AND g.token IS NOT NULL AND s.waits = ANY(ARRAY[4, 5, 6, 7]::smallint[])
                THEN now()
            ELSE s.updated_at
        END,
-- also: end
        due_at = CASE
-- also: begin
            WHEN s.owner IS NULL AND g.token IS NOT NULL AND s.waits = ANY(ARRAY[4, 5, 6, 7]::smallint[])
                THEN now() + :lease::interval
-- also: end
            WHEN s.owner IS NULL AND (s.waits & 8) = 0
                THEN least(s.due_at, now() + (g.grace * '1 millisecond'::interval))
            ELSE s.due_at
        END
    FROM given AS g CROSS JOIN lock_timeout
    WHERE
        s.shard = :shard::smallint AND s.id = ANY(:saga_ids::uuid[]) AND s.id = g.saga_id
        AND (s.id = ANY (SELECT f.id FROM free AS f WHERE f.is_live)) IS TRUE
    RETURNING s.id, s.plan, s.state, s.rev, s.token, s.inbox_sent, s.last_error
),
stored AS (
    INSERT INTO saga_fn.saga_inbox (shard, saga_id, id, body)
    SELECT :shard::smallint, g.saga_id, g.id, g.body
    FROM given AS g
    WHERE (g.saga_id = ANY (SELECT t.id FROM told AS t)) IS TRUE
    ON CONFLICT DO NOTHING
    RETURNING saga_id
),
remembered AS (
    INSERT INTO saga_fn.saga_event (shard, name, aggregation_id, id, event, body, expires_at, taken_by, repeated)
    SELECT
        :shard::smallint, w.name, w.aggregation_id, w.id, k.event, w.body, least(k.expires_at, now() + :keep::interval),
        w.saga_id, w.known
    FROM ROWS FROM (
        unnest(:k_saga_ids::uuid[], :k_events::text[], :k_expires::timestamptz[]),
        generate_series(1, cardinality(:k_saga_ids::uuid[]))
    ) AS k (saga_id, event, expires_at, place)
    JOIN seen AS w ON w.saga_id = k.saga_id
    WHERE
        w.aggregation_id IS NOT NULL
        AND ((k.saga_id = ANY (SELECT n.saga_id FROM stored AS n)) IS TRUE OR (w.known AND w.fits AND NOT w.ended))
    ON CONFLICT DO NOTHING
)
SELECT
    w.saga_id, w.name, w.version, w.known, w.answer, w.ended, w.fits,
    w.unread >= :most::bigint AS is_full,
    (w.unread = 0) AND (w.asked = 0) AND (t.inbox_sent = (w.inbox_sent + 1)) IS TRUE AS is_alone,
    (w.saga_id = ANY (SELECT n.saga_id FROM stored AS n)) IS TRUE AS stored,
    (t.id IS NOT NULL) AS told,
    w.aggregation_id,
    w.trace_id,
    coalesce(t.plan, w.plan) AS plan,
    coalesce(t.state, w.state) AS state,
    coalesce(t.rev, w.rev) AS rev,
    CASE WHEN t.id IS NOT NULL THEN t.token ELSE w.held END AS token,
    coalesce(t.inbox_sent, w.inbox_sent) AS inbox_sent,
    t.last_error,
    w.created_at,
    now() AS now
FROM seen AS w
LEFT JOIN told AS t ON t.id = w.saga_id
