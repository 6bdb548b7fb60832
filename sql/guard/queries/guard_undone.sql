-- name: guard_undone :one GuardUndoneRow
-- nullable: done_at
-- lint: waits, because it runs in the participant's transaction, which sets its own lock_timeout
-- Mark an operation as undone, whether it has been done or not; says which, and how often it was undone before.
-- Locks: the operation's row; the participant's transaction sets its own lock_timeout.
-- Plan: the primary key.
INSERT INTO saga_fn.saga_guard AS g (operation, undone_at, undos)
VALUES (:operation::text, now(), 1)
ON CONFLICT (operation) DO UPDATE SET
    undone_at = coalesce(g.undone_at, now()),
    undos = least(g.undos, 2147483646) + 1
RETURNING g.done_at AS done_at, g.undos AS undos
