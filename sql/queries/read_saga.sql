-- name: read_saga :optional SagaRow
-- nullable: aggregation_id, token, owner, due_at, last_error, parked, problem_step, ended_at
-- One saga's row. `leased`: a lease on it is running at this moment.
-- Locks: none.
-- Plan: the primary key.
SELECT
    s.id, s.name, s.version, s.aggregation_id, s.trace_id, s.request, s.plan, s.status, s.waits, s.state, s.rev,
    s.token, s.owner, s.due_at, s.inbox_sent, s.retry_counter, s.last_error, s.parked, s.problem_step, s.acknowledged,
    s.created_at, s.updated_at, s.ended_at,
    coalesce(s.owner IS NOT NULL AND s.due_at > now(), false) AS leased,
    now() AS now
FROM saga_fn.saga AS s
WHERE s.shard = :shard::smallint AND s.id = :id::uuid
