-- name: fail_outgoing :exec
-- Record failed attempts of outgoing messages that this process holds: each is tried again later, or is dead.
-- Locks: the rows that it writes, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key. The work grows with the batch: see sql/README.md.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
given AS (
    SELECT g.saga_id, g.rev, g.n, g.delay, g.error, g.is_dead
    FROM ROWS FROM (
        unnest(
            :saga_ids::uuid[], :revs::bigint[], :ns::smallint[], :delays::interval[], :errors::text[],
            :are_dead::boolean[]
        ),
        generate_series(1, cardinality(:saga_ids::uuid[]))
    ) AS g (saga_id, rev, n, delay, error, is_dead, place)
)
UPDATE saga_fn.saga_outgoing AS o
SET
    token = NULL, attempts = o.attempts + 1, due_at = now() + g.delay, error = g.error,
    dead_at = CASE WHEN g.is_dead THEN now() END, blocks = :blocks::boolean OR NOT g.is_dead
FROM given AS g CROSS JOIN lock_timeout
WHERE
    o.shard = :shard::smallint AND o.saga_id = ANY(:saga_ids::uuid[])
    AND o.rev >= (SELECT min(each.rev) FROM unnest(:revs::bigint[]) AS each (rev))
    AND o.rev <= (SELECT max(each.rev) FROM unnest(:revs::bigint[]) AS each (rev))
    AND o.saga_id = g.saga_id AND o.rev = g.rev AND o.n = g.n AND o.token = :token::uuid
