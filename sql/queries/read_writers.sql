-- name: read_writers :many WriterRow
-- Who wrote the named journal entries: settles starts whose answer was lost.
-- Locks: none.
-- Plan: the primary keys of saga and of the journal, once for each entry, as in read_results.
SELECT j.saga_id, j.seq, j.writer
FROM unnest(:saga_ids::uuid[], :seqs::bigint[]) AS w (saga_id, seq)
CROSS JOIN LATERAL (
    SELECT j.saga_id, j.seq, j.writer
    FROM saga_fn.saga_journal AS j
    WHERE
        j.shard = :shard::smallint AND j.saga_id = w.saga_id AND j.seq = w.seq
        AND j.era = (SELECT s.era FROM saga_fn.saga AS s WHERE s.shard = :shard::smallint AND s.id = w.saga_id)
    LIMIT 1
) AS j
