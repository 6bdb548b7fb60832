-- name: guard_done :one GuardDoneRow
-- Mark an operation as done, unless it has been done or undone before; says which. Waits for whoever is at it now.
-- nullable: undone_at
INSERT INTO saga_fn.saga_guard AS g (operation, done_at)
VALUES (:operation::text, now())
ON CONFLICT (operation) DO UPDATE SET repeats = g.repeats + 1
RETURNING g.repeats AS repeats, g.undone_at AS undone_at
