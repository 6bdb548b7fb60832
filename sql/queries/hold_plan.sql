-- name: hold_plan :one HeldPlanRow
-- lint: waits, because its copy is new and no other session can hold it
-- See to it that a saga started in a caller's transaction has its plan: another copy of it, unless one can be seen.
-- `known`: the copy that insert_plan writes is there; it is committed, for that is always a transaction of its own. Its
-- time is that of the statement, for the transaction may have begun long ago.
-- Locks: the key of its copy, which is new, so that no other session can hold it. A transaction never waits for another
-- one that writes the same plan and is still open.
-- Plan: a range of the primary key.
WITH seen AS (
    SELECT p.copy
    FROM saga_fn.saga_plan AS p
    WHERE p.shard = :shard::smallint AND p.id = :id::text
),
held AS (
    INSERT INTO saga_fn.saga_plan (shard, id, copy, data)
    SELECT :shard::smallint, :id::text, :copy::uuid, :data::bytea
    WHERE NOT EXISTS (SELECT 1 FROM seen)
)
SELECT
    EXISTS (SELECT 1 FROM seen AS s WHERE s.copy = '00000000-0000-0000-0000-000000000000'::uuid) AS known,
    statement_timestamp() AS now
