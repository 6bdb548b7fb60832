-- name: read_verb_answer :optional VerbAnswerRow
-- nullable: answer
-- The answer to an operator's verb, which is NULL while no owner has read it; and whether the saga has ended, or has
-- an owner that may answer.
-- Locks: none.
-- Plan: the primary keys of saga_verb and saga.
SELECT
    v.answer,
    s.ended_at IS NOT NULL AS has_ended,
    s.owner IS NOT NULL AS is_owned
FROM saga_fn.saga_verb AS v
INNER JOIN saga_fn.saga AS s ON s.shard = v.shard AND s.id = v.saga_id
WHERE
    v.shard = :shard::smallint AND v.saga_id = :saga_id::uuid AND v.id = :id::uuid
    AND s.shard = :shard::smallint AND s.id = :saga_id::uuid
