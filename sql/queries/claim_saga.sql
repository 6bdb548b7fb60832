-- name: claim_saga :optional ClaimedRow
-- nullable: aggregation_id, previous_owner, last_error, was_due
-- not null: token
-- Claim one saga whether it is due or not, unless it has ended or a lease on it is running.
-- Locks: the row, for which the statement waits `lock_timeout` milliseconds (55P03): its caller shares the connection.
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
free AS MATERIALIZED (
    SELECT s.id, s.owner, s.due_at
    FROM lock_timeout CROSS JOIN saga_fn.saga AS s
    WHERE
        s.shard = :shard::smallint AND s.id = :id::uuid AND s.ended_at IS NULL
        AND (s.owner IS NULL OR s.due_at <= now())
    FOR NO KEY UPDATE
)
UPDATE saga_fn.saga AS s
SET token = :token::uuid, owner = :owner::uuid, due_at = now() + :lease::interval, updated_at = now()
FROM free AS f
WHERE s.shard = :shard::smallint AND s.id = :id::uuid AND s.id = f.id
RETURNING
    s.id, s.name, s.version, s.aggregation_id, s.trace_id, s.plan, s.state, s.rev, s.token, s.inbox_sent, s.last_error,
    s.created_at, f.owner AS previous_owner, f.due_at AS was_due, now() AS now
