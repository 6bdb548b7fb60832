-- name: record_act :exec
-- nullable: step_id, saga_id, actor, reason
-- Record an act that no other process carries out, unless it is there. It names no column that would make one do so: a
-- role that deletes sagas may do this, and asks for nothing by it.
-- Locks: an operation of this id that another session inserts, for which it waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
INSERT INTO saga_fn.saga_operation (shard, id, verb, step_id, saga_id, actor, reason, request, progress)
SELECT
    :shard::smallint, :id::uuid, :verb::text, :step_id::text, :saga_id::uuid, :actor::text, :reason::text,
    :request::bytea, :progress::bytea
FROM lock_timeout
ON CONFLICT DO NOTHING
