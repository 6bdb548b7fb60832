-- name: redrive_outgoing :many
-- Try these dead messages of a saga again, from the first attempt on.
-- Locks: the rows that it writes, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
given AS (
    SELECT g.rev, g.n FROM unnest(:revs::bigint[], :ns::smallint[]) AS g (rev, n)
)
UPDATE saga_fn.saga_outgoing AS o
SET dead_at = NULL, blocks = true, attempts = 0, due_at = now()
FROM given AS g CROSS JOIN lock_timeout
WHERE
    o.shard = :shard::smallint AND o.saga_id = :saga_id::uuid AND o.rev = g.rev AND o.n = g.n
    AND o.dead_at IS NOT NULL
RETURNING o.rev
