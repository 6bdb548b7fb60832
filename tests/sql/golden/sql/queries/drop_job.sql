-- name: drop_job :exec
-- lint: waits, because this line is for the linter
-- Delete one job; `:id` is used twice and sent once.
DELETE FROM saga_fn.job AS j WHERE j.shard = :shard::smallint AND j.id = :id::uuid AND :id::uuid IS NOT NULL
