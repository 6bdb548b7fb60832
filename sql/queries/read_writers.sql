-- name: read_writers :many WriterRow
-- Who wrote the named journal entries: settles starts whose answer was lost.
-- Locks: none.
-- Plan: the journal's primary key, once for each entry.
SELECT j.saga_id, j.seq, j.writer
FROM ROWS FROM ( -- see sql/README.md
    unnest(:saga_ids::uuid[], :seqs::bigint[]), generate_series(1, cardinality(:saga_ids::uuid[]))
) AS w (saga_id, seq, place)
JOIN saga_fn.saga_journal AS j ON j.saga_id = w.saga_id AND j.seq = w.seq
WHERE j.shard = :shard::smallint AND j.saga_id = ANY(:saga_ids::uuid[])
