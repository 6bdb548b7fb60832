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
        AND EXISTS (
            SELECT 1
            FROM saga_fn.saga_pause AS p
            WHERE p.shard = 0::smallint AND p.name = ANY(ARRAY[''::text, w.name])
        ) IS FALSE -- not "NOT EXISTS": so it is asked once a definition, and not of each row
    ORDER BY s.due_at
    LIMIT w.room
) AS d
ORDER BY d.due_at
LIMIT :batch_size::integer
