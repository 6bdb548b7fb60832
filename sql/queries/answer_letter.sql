-- name: answer_letter :execrows
-- Answer a letter that changed nothing.
UPDATE saga_fn.saga_inbox AS i
SET answer = :answer::text, answered_at = now()
WHERE i.shard = :shard::smallint AND i.saga_id = :saga_id::uuid AND i.id = :id::uuid AND i.answer IS NULL
