-- name: claim_outgoing :many ClaimedOutgoingRow
-- nullable: headers
-- not null: body
-- Take the due outgoing messages of a topic that are the first of their sagas, each with a lease, the oldest first. No
-- further one is taken once those taken have `bytes` together, and none is read that is not taken.
-- Those that are not the first are looked at again later: after `later` if a message that is tried stands before them,
-- after `much_later` if a dead one does.
-- Locks: the rows that it looks at, `most` of them. Rows that another session has locked are skipped.
-- Plan: a range of saga_outgoing_due, with probes of the primary key.
WITH due AS MATERIALIZED (
    SELECT o.saga_id, o.rev, o.n, o.due_at, octet_length(o.body) AS size
    FROM saga_fn.saga_outgoing AS o
    WHERE
        o.shard = :shard::smallint AND o.topic = :topic::text AND o.topic <> '' AND o.dead_at IS NULL
        AND o.due_at <= now()
    ORDER BY o.due_at
    LIMIT :most::integer
    FOR NO KEY UPDATE SKIP LOCKED
),
judged AS MATERIALIZED (
    SELECT
        d.saga_id, d.rev, d.n, f.rev IS NOT NULL AS waits, f.dead_at IS NOT NULL AS is_blocked,
        sum(CASE WHEN f.rev IS NULL THEN d.size ELSE 0 END) OVER older AS bytes_before
    FROM due AS d
    LEFT JOIN LATERAL (
        SELECT e.rev, e.dead_at
        FROM saga_fn.saga_outgoing AS e
        WHERE e.shard = :shard::smallint AND e.saga_id = d.saga_id AND (e.rev, e.n) < (d.rev, d.n) AND e.blocks
        ORDER BY e.rev, e.n
        LIMIT 1
    ) AS f ON true
    WINDOW older AS (
        ORDER BY d.due_at, d.saga_id, d.rev, d.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),
taken AS (
    UPDATE saga_fn.saga_outgoing AS o
    SET
        token = CASE WHEN NOT j.waits THEN :token::uuid END,
        due_at = now() + CASE
            WHEN NOT j.waits THEN :lease::interval
            WHEN j.is_blocked THEN :much_later::interval
            ELSE :later::interval
        END
    FROM judged AS j
    WHERE
        o.shard = :shard::smallint AND o.saga_id = ANY(ARRAY(SELECT d.saga_id FROM due AS d))
        AND o.saga_id = j.saga_id AND o.rev = j.rev AND o.n = j.n
        AND coalesce(j.bytes_before, 0) < :bytes::bigint
    RETURNING
        o.saga_id, o.rev, o.n, o.topic, o.key, o.headers,
        CASE WHEN j.waits THEN ''::bytea ELSE o.body END AS body, o.attempts, o.created_at, j.waits
)
SELECT
    t.saga_id, t.rev, t.n, t.topic, t.key, t.headers, t.body, t.attempts, t.created_at, t.waits,
    s.name AS saga_name, s.version
FROM taken AS t
CROSS JOIN LATERAL (
    SELECT g.name, g.version
    FROM saga_fn.saga AS g
    WHERE g.shard = :shard::smallint AND g.id = t.saga_id
    LIMIT 1
) AS s
