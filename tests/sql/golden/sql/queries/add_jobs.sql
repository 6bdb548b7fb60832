-- name: add_jobs :execrows
-- nullable: notes[]
-- Insert jobs.
INSERT INTO saga_fn.job (shard, id, note, at)
SELECT :shard::smallint, j.id, j.note, now() - :age::interval
FROM unnest(:ids::uuid[], :notes::text[]) AS j (id, note);
