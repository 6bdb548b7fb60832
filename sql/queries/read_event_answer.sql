-- name: read_event_answer :optional EventAnswerRow
-- nullable: answer
-- The answer to an event; NULL while no owner has read it.
-- Locks: none.
-- Plan: the primary key of the inbox.
SELECT i.answer
FROM saga_fn.saga_inbox AS i
WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.id = :id::uuid
