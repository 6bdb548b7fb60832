-- name: list_jobs :many ListedRow
-- not null: tags
-- Jobs, the oldest first.
SELECT j.id, ARRAY['a']::text[] AS tags FROM saga_fn.job AS j WHERE j.shard = :shard::smallint ORDER BY j.at
