-- name: find_job :optional JobRow
-- nullable: note, :after
-- not null: late
-- One job, if there is one.
SELECT j.id, j.note, coalesce(j.data, ''::bytea) AS data, j.at, j.at > now() AS late
FROM saga_fn.job AS j
WHERE j.shard = :shard::smallint AND j.id = :id::uuid AND j.at > coalesce(:after::timestamptz, '-infinity')
