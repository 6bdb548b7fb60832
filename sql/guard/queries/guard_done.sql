-- name: guard_done :one GuardDoneRow
-- nullable: undone_at
-- lint: waits, because it runs in the participant's transaction, which sets its own lock_timeout
-- Mark an operation as done with this generation of its input, unless it was with it or a later one, or undone.
-- Locks: the operation's row; the participant's transaction sets its own lock_timeout.
-- Plan: the primary key.
INSERT INTO saga_fn.saga_guard AS g (operation, generation, done_at)
VALUES (:operation::text, :generation::integer, now())
ON CONFLICT (operation) DO UPDATE SET
    generation = greatest(g.generation, excluded.generation),
    replaced = g.replaced + (excluded.generation > g.generation)::integer,
    repeats = CASE
        WHEN excluded.generation > g.generation THEN 0
        ELSE least(g.repeats, 2147483646) + 1
    END
RETURNING g.generation AS generation, g.replaced AS replaced, g.repeats AS repeats, g.undone_at AS undone_at
