-- name: hand_over_events :optional
-- Put the first `most` events that are kept for a business key into the inbox of the saga that is active under it. They
-- keep the order in which they came, and are counted there as send_event does. No row comes if there is no such saga,
-- no event that it gets, or no room: `most_unread` messages of it are unread. A saga that began after another one of
-- its key had ended gets only what was sent to itself, or is `for_next`. An event that the inbox has already is marked
-- as repeated.
-- Locks: the saga's row, for which the statement waits `lock_timeout` milliseconds (55P03); what is kept then stays
-- kept. Events that another session hands over at this moment are skipped.
-- Plan: a range of saga_event_kept, and probes of saga_active_key and saga_ended_key; a range of saga_inbox_unread.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
unread AS MATERIALIZED (
    SELECT count(*) AS messages
    FROM (
        SELECT i.id
        FROM saga_fn.saga_inbox AS i
        WHERE
            i.shard = :shard::smallint AND i.answer IS NULL
            AND i.saga_id = (
                SELECT s.id
                FROM saga_fn.saga AS s
                WHERE
                    s.shard = :shard::smallint AND s.name = :name::text
                    AND s.aggregation_id = :aggregation_id::text AND s.ended_at IS NULL
            )
        LIMIT :most_unread::bigint
    ) AS i
),
kept AS MATERIALIZED (
    SELECT w.id, w.body, w.sent_at, s.id AS saga_id
    FROM (
        SELECT e.id, e.body, e.sent_at
        FROM saga_fn.saga_event AS e
        WHERE
            e.shard = :shard::smallint AND e.name = :name::text AND e.aggregation_id = :aggregation_id::text
            AND e.taken_by IS NULL AND e.expires_at > now()
            -- As in find_undelivered_events.
            AND (
                e.for_next
                OR e.sent_at >= (
                    SELECT s.created_at
                    FROM saga_fn.saga AS s
                    WHERE
                        s.shard = :shard::smallint AND s.name = :name::text
                        AND s.aggregation_id = :aggregation_id::text AND s.ended_at IS NULL
                )
                OR NOT EXISTS (
                    SELECT 1
                    FROM saga_fn.saga AS before
                    WHERE
                        before.shard = :shard::smallint AND before.name = :name::text
                        AND before.aggregation_id = :aggregation_id::text AND before.ended_at IS NOT NULL
                )
            )
        ORDER BY e.sent_at, e.id
        LIMIT (SELECT least(:most::bigint, :most_unread::bigint - u.messages) FROM unread AS u)
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS w
    JOIN saga_fn.saga AS s
        ON
            s.shard = :shard::smallint AND s.name = :name::text AND s.aggregation_id = :aggregation_id::text
            AND s.ended_at IS NULL
),
told AS (
    UPDATE saga_fn.saga AS s
    SET
        inbox_sent = s.inbox_sent + (SELECT count(*) FROM kept),
        due_at = CASE WHEN s.owner IS NULL AND s.waits & 8 = 0 THEN now() ELSE s.due_at END
    FROM lock_timeout
    WHERE s.shard = :shard::smallint AND s.id = ANY(ARRAY(SELECT k.saga_id FROM kept AS k)) AND s.ended_at IS NULL
    RETURNING s.id
),
stored AS (
    INSERT INTO saga_fn.saga_inbox (shard, saga_id, id, body, sent_at)
    SELECT :shard::smallint, k.saga_id, k.id, k.body, k.sent_at
    FROM kept AS k
    WHERE (k.saga_id = ANY (SELECT t.id FROM told AS t)) IS TRUE
    ON CONFLICT DO NOTHING
    RETURNING id
),
marked AS (
    UPDATE saga_fn.saga_event AS e
    SET taken_by = k.saga_id, repeated = e.id <> ALL(ARRAY(SELECT n.id FROM stored AS n))
    FROM kept AS k
    WHERE
        e.shard = :shard::smallint AND e.name = :name::text AND e.aggregation_id = :aggregation_id::text
        AND e.id = ANY(ARRAY(SELECT each.id FROM kept AS each)) AND e.id = k.id
        AND (k.saga_id = ANY (SELECT t.id FROM told AS t)) IS TRUE
)
SELECT t.id FROM told AS t
