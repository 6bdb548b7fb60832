-- name: insert_operation :exec
-- nullable: step_id, saga_id, actor, reason, needs
-- Record an operation, unless it is there.
-- Locks: an operation of this id that another session inserts, for which it waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
INSERT INTO saga_fn.saga_operation (
    shard, id, verb, step_id, saga_id, actor, reason, request, needs, state, progress
)
SELECT
    :shard::smallint, :id::uuid, :verb::text, :step_id::text, :saga_id::uuid, :actor::text, :reason::text,
    :request::bytea, :needs::text, :state::text, :progress::bytea
FROM lock_timeout
ON CONFLICT DO NOTHING
