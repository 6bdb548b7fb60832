-- name: read_verb_answer :optional VerbAnswerRow
-- nullable: answer
-- The answer to an operator's verb; NULL while no owner has read it.
-- Locks: none.
-- Plan: the primary key of saga_verb.
SELECT v.answer
FROM saga_fn.saga_verb AS v
WHERE v.shard = :shard::smallint AND v.saga_id = :saga_id::uuid AND v.id = :id::uuid
