-- name: read_answer :optional AnswerRow
-- nullable: answer
-- The answer to a message; NULL while no owner has read it.
-- Locks: none.
-- Plan: the primary key of the inbox.
SELECT i.answer
FROM saga_fn.saga_inbox AS i
WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.id = :id::uuid
