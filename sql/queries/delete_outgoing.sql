-- name: delete_outgoing :exec
-- nullable: ns[]
-- Delete outgoing messages that their publisher has confirmed, under any token: another process may hold them by now.
-- The deletion waits for no disk: if the server forgets it in a crash, these messages are published once more, under
-- the same ids.
-- NULL stands for 0 in `ns`.
-- Locks: the rows that it deletes, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key. The work grows with the batch: see sql/README.md. Subqueries keep the arrays from the planner:
-- for arrays that it sees it makes a plan each time, which costs more than the deletion.
WITH lock_timeout AS MATERIALIZED (
    SELECT
        set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds,
        set_config('synchronous_commit', 'off', true) AS synchronous_commit
),
given AS (
    SELECT g.saga_id, g.rev, g.n
    FROM ROWS FROM (
        unnest(:saga_ids::uuid[], :revs::bigint[], :ns::smallint[]),
        generate_series(1, (SELECT cardinality(:saga_ids::uuid[])))
    ) AS g (saga_id, rev, n, place)
)
DELETE FROM saga_fn.saga_outgoing AS o
USING given AS g CROSS JOIN lock_timeout
WHERE
    o.shard = :shard::smallint AND o.saga_id = ANY(ARRAY(SELECT each.id FROM unnest(:saga_ids::uuid[]) AS each (id)))
    AND o.rev >= (SELECT min(each.rev) FROM unnest(:revs::bigint[]) AS each (rev))
    AND o.rev <= (SELECT max(each.rev) FROM unnest(:revs::bigint[]) AS each (rev))
    AND o.saga_id = g.saga_id AND o.rev = g.rev AND o.n = coalesce(g.n, 0::smallint)
