-- name: claim_due_sagas :many ClaimedRow
-- nullable: aggregation_id, previous_owner, last_error, was_due, since
-- not null: token
-- Claim due sagas of the given definitions, each with a fresh token and a lease, oldest first. Only what is returned
-- was claimed. A definition's room bounds how many of it are claimed; those to pass over are not. With `since` only
-- what is due since then is claimed (see find_due_shards). `previous_owner` names the owner whose lease had run out.
-- Locks: the rows it claims, and a few times as many beside at most. Rows that another session has locked are skipped.
-- Plan: one probe of saga_due a definition, for its first row. Then, for no more definitions than rows are wanted, one
-- range of it without a lock, which tells how many of each are among the oldest, and one with. Both begin at the first
-- row: entries of sagas that ended are walked once. Rows of definitions that this process does not know never are.
WITH first AS MATERIALIZED ( -- the oldest rows are of the definitions whose first rows are the oldest
    SELECT w.name, w.version, w.room, f.due_at
    FROM unnest(:names::text[], :versions::integer[], :rooms::integer[]) AS w (name, version, room)
    CROSS JOIN LATERAL (
        SELECT s.due_at
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = w.name AND s.version = w.version AND s.due_at <= now()
            AND s.due_at >= coalesce(:since::timestamptz, '-infinity'::timestamptz)
            AND s.format = ANY(:formats::smallint[]) AND s.id <> ALL(:passed_over::uuid[])
            AND EXISTS (
                SELECT 1
                FROM saga_fn.saga_pause AS p
                WHERE p.shard = 0::smallint AND p.name = ANY(ARRAY[''::text, w.name])
            ) IS FALSE -- not "NOT EXISTS": so it is asked once a definition, and not of each row
        ORDER BY s.due_at
        LIMIT 1
    ) AS f
    ORDER BY f.due_at
    LIMIT (:batch_size::integer * 2) + 20 -- others may be locked, by who claims at the same time above all
),
oldest AS MATERIALIZED (
    SELECT o.name, o.version, count(*) AS room
    FROM (
        SELECT w.name, w.version, d.due_at
        FROM first AS w
        CROSS JOIN LATERAL (
            SELECT s.due_at
            FROM saga_fn.saga AS s
            WHERE
                s.shard = :shard::smallint AND s.name = w.name AND s.version = w.version AND s.due_at <= now()
                AND s.due_at >= w.due_at
                AND s.format = ANY(:formats::smallint[]) AND s.id <> ALL(:passed_over::uuid[])
            ORDER BY s.due_at
            LIMIT w.room
        ) AS d
        ORDER BY d.due_at
        LIMIT (:batch_size::integer * 2) + 20
    ) AS o
    GROUP BY o.name, o.version
),
due AS MATERIALIZED ( -- a fence: the planner must not run the locking scan again for each row
    SELECT d.id, d.owner, d.due_at
    FROM first AS w
    LEFT JOIN oldest AS o ON w.name = o.name AND w.version = o.version
    CROSS JOIN LATERAL (
        SELECT s.id, s.owner, s.due_at
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = w.name AND s.version = w.version AND s.due_at <= now()
            AND s.due_at >= w.due_at
            AND s.format = ANY(:formats::smallint[]) AND s.id <> ALL(:passed_over::uuid[])
        ORDER BY s.due_at
        LIMIT least(w.room, coalesce(o.room, 1)) -- one at least: the oldest may all be locked, and of one definition
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS d
    ORDER BY d.due_at
    LIMIT :batch_size::integer
),
numbered AS (
    SELECT due.id, due.owner, due.due_at, (:tokens::uuid[])[row_number() OVER (ORDER BY due.due_at)] AS token FROM due
)
UPDATE saga_fn.saga AS s
SET token = n.token, owner = :owner::uuid, due_at = now() + :lease::interval, updated_at = now()
FROM numbered AS n
WHERE s.shard = :shard::smallint AND s.id = ANY(ARRAY(SELECT due.id FROM due)) AND s.id = n.id
RETURNING
    s.id, s.name, s.version, s.aggregation_id, s.trace_id, s.plan, s.state, s.rev, s.token, s.inbox_sent, s.last_error,
    s.created_at, n.owner AS previous_owner, n.due_at AS was_due, now() AS now
