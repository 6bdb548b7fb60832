-- name: take_operation :optional OperationRow
-- nullable: step_id, saga_id, actor, reason, needs, token
-- Take this operation, unless a lease on it is running. It runs from then on.
-- One that is not in the state that the caller has seen is left: a stop stands that came after it was seen running.
-- Locks: its row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga_operation AS o
SET token = :token::uuid, lease_end = now() + :lease::interval, state = 'running', updated_at = now()
FROM lock_timeout
WHERE
    o.shard = :shard::smallint AND o.id = :id::uuid
    AND o.state = :seen::text AND (o.state = 'stopped' OR (o.state = 'running' AND o.lease_end <= now()))
RETURNING
    o.id, o.verb, o.step_id, o.saga_id, o.actor, o.reason, o.request, o.needs, o.state, o.progress,
    o.token, o.began_at, o.updated_at
