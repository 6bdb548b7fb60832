-- name: find_note :optional
-- One job's note.
SELECT coalesce(j.note, '') AS text FROM saga_fn.job AS j WHERE j.shard = :shard::smallint AND j.id = :id::uuid
