-- name: find_due_sagas :many
-- Due sagas of the given definitions, oldest first, for a caller that claims each by itself. A definition's
-- room bounds how many of it come; those to pass over do not.
-- Locks: none.
-- Plan: one range of saga_due a definition.
SELECT d.id
FROM unnest(:names::text[], :versions::integer[], :rooms::integer[]) AS w (name, version, room)
CROSS JOIN LATERAL (
    SELECT s.id, s.due_at
    FROM saga_fn.saga AS s
    WHERE
        s.shard = :shard::smallint AND s.name = w.name AND s.version = w.version AND s.due_at <= now()
        AND s.format = ANY(:formats::smallint[]) AND s.id <> ALL(:passed_over::uuid[])
    ORDER BY s.due_at
    LIMIT w.room
) AS d
ORDER BY d.due_at
LIMIT :batch_size::integer
