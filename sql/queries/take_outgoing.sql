-- name: take_outgoing :many ClaimedOutgoingRow
-- nullable: headers
-- Take the first outgoing message of each of these sagas, with a lease. One is left that is dead, waits for its next
-- attempt, or is another process's. No further one is taken once those taken have `bytes` together. `waits` is false.
-- Locks: the rows that it takes. Rows that another session has locked are skipped.
-- Plan: the primary key.
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
    SELECT o.saga_id, o.rev, o.n, octet_length(o.body) AS size
    FROM saga_fn.saga_outgoing AS o
    WHERE
        o.shard = :shard::smallint AND o.saga_id = ANY(:saga_ids::uuid[]) AND o.dead_at IS NULL
        AND ((o.saga_id, o.rev, o.n) = ANY (SELECT f.saga_id, f.rev, f.n FROM firsts AS f)) IS TRUE
        AND (o.due_at <= now() OR (o.token IS NULL AND o.attempts = 0) OR o.token = :token::uuid)
    ORDER BY o.saga_id
    FOR NO KEY UPDATE SKIP LOCKED
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
        AND o.saga_id = f.saga_id AND o.rev = f.rev AND o.n = f.n
        AND coalesce(f.bytes_before, 0) < :bytes::bigint
    RETURNING
        o.saga_id, o.rev, o.n, o.topic, o.key, o.headers, o.body, o.attempts, o.created_at, false AS waits
)
SELECT
    t.saga_id, t.rev, t.n, t.topic, t.key, t.headers, t.body, t.attempts, t.created_at, t.waits,
    s.name AS saga_name, s.version
FROM taken AS t
JOIN saga_fn.saga AS s ON s.shard = :shard::smallint AND s.id = t.saga_id
