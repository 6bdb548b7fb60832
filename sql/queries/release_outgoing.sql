-- name: release_outgoing :exec
-- Let any process take the outgoing messages of these sagas that this one holds.
-- Locks: the rows that it writes, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
)
UPDATE saga_fn.saga_outgoing AS o
SET token = NULL, due_at = now()
FROM lock_timeout
WHERE o.shard = :shard::smallint AND o.saga_id = ANY(:saga_ids::uuid[]) AND o.token = :token::uuid
