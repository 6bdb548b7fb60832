-- name: take_outgoing :many ClaimedOutgoingRow
-- nullable: headers
-- Take the first outgoing message of each of these sagas, with a lease. One is left that is dead, waits for its next
-- attempt, or is another process's. No further one is taken once those taken have `bytes` together. `waits` is false.
-- Locks: the rows that it takes. Rows that another session has locked are skipped.
-- Plan: the primary key, for the first message of each saga alone. A saga may have thousands of others.
WITH firsts AS MATERIALIZED (
    SELECT f.saga_id, f.rev, f.n
    FROM unnest(:saga_ids::uuid[]) AS w (saga_id)
    CROSS JOIN LATERAL (
        SELECT o.saga_id, o.rev, o.n
        FROM saga_fn.saga_outgoing AS o
        WHERE o.shard = :shard::smallint AND o.saga_id = w.saga_id AND o.blocks
        ORDER BY o.rev, o.n
        LIMIT 1
    ) AS f
),
free AS MATERIALIZED (
    SELECT f.saga_id, f.rev, f.n, o.size
    FROM firsts AS f
    CROSS JOIN LATERAL (
        SELECT octet_length(m.body) AS size
        FROM saga_fn.saga_outgoing AS m
        WHERE
            m.shard = :shard::smallint AND m.saga_id = f.saga_id AND m.rev = f.rev AND m.n = f.n AND m.dead_at IS NULL
            AND (m.due_at <= now() OR (m.token IS NULL AND m.attempts = 0) OR m.token = :token::uuid)
        ORDER BY m.n
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS o
),
sized AS MATERIALIZED (
    SELECT
        f.saga_id, f.rev, f.n,
        sum(f.size) OVER (ORDER BY f.saga_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM free AS f
),
taken AS (
    UPDATE saga_fn.saga_outgoing AS o
    SET token = :token::uuid, due_at = now() + :lease::interval
    FROM sized AS f
    WHERE
        o.shard = :shard::smallint AND o.saga_id = ANY(:saga_ids::uuid[])
        AND o.rev >= (SELECT min(d.rev) FROM free AS d) AND o.rev <= (SELECT max(d.rev) FROM free AS d)
        AND o.saga_id = f.saga_id AND o.rev = f.rev AND o.n = f.n
        AND coalesce(f.bytes_before, 0) < :bytes::bigint
    RETURNING
        o.saga_id, o.rev, o.n, o.topic, o.key, o.headers, o.body, o.attempts, o.created_at, false AS waits
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
