-- name: claim_operation :optional OperationRow
-- nullable: step_id, saga_id, actor, reason, needs, token
-- Take the operation whose lease has been over for longest, under a fresh token. One that needs a definition is taken
-- by a process that has it among `names`.
-- Locks: the row it takes. Rows that another session has locked are skipped.
-- Plan: a range of saga_operation_running.
UPDATE saga_fn.saga_operation AS o
SET token = :token::uuid, lease_end = now() + :lease::interval, updated_at = now()
WHERE
    o.shard = :shard::smallint
    AND o.id = ANY(
        ARRAY(
            SELECT due.id
            FROM saga_fn.saga_operation AS due
            WHERE
                due.shard = :shard::smallint AND due.state = 'running' AND due.lease_end <= now()
                AND (due.needs IS NULL OR due.needs = ANY(:names::text[]))
            ORDER BY due.lease_end
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        )
    )
RETURNING
    o.id, o.verb, o.step_id, o.saga_id, o.actor, o.reason, o.request, o.needs, o.state, o.progress,
    o.token, o.began_at, o.updated_at
