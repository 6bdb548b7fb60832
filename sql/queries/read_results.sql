-- name: read_results :many ResultRow
-- nullable: step_id, input, payload
-- Exactly the named journal entries of many sagas at once: what a claim needs to go on.
SELECT j.saga_id, j.seq, j.step_id, j.input, j.payload
FROM unnest(:saga_ids::uuid[], :seqs::bigint[]) AS w (saga_id, seq)
JOIN saga_fn.saga_journal AS j ON j.saga_id = w.saga_id AND j.seq = w.seq
WHERE j.shard = :shard::smallint AND j.saga_id = ANY(:saga_ids::uuid[])
