-- name: discard_outgoing :many
-- Delete these messages of a saga: those that are dead, and with `waiting` those that no process holds, too.
-- Locks: the rows that it deletes, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
given AS (
    SELECT g.rev, g.n FROM unnest(:revs::bigint[], :ns::smallint[]) AS g (rev, n)
)
DELETE FROM saga_fn.saga_outgoing AS o
USING given AS g CROSS JOIN lock_timeout
WHERE
    o.shard = :shard::smallint AND o.saga_id = :saga_id::uuid AND o.rev = g.rev AND o.n = g.n
    AND (o.dead_at IS NOT NULL OR (:waiting::boolean AND (o.token IS NULL OR o.due_at <= now())))
RETURNING o.rev
