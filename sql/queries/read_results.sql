-- name: read_results :many ResultRow
-- nullable: input, payload
-- Exactly the named journal entries of many sagas at once: what a claim needs to go on.
-- Locks: none.
-- Plan: the journal's primary key, once for each entry.
SELECT
    j.saga_id,
    j.seq,
    coalesce(j.input, (
        SELECT given.payload
        FROM saga_fn.saga_journal AS given
        WHERE given.shard = :shard::smallint AND given.saga_id = j.saga_id AND given.seq = j.input_of
    )) AS input,
    j.payload
FROM ROWS FROM ( -- see sql/README.md
    unnest(:saga_ids::uuid[], :seqs::bigint[]), generate_series(1, cardinality(:saga_ids::uuid[]))
) AS w (saga_id, seq, place)
JOIN saga_fn.saga_journal AS j ON j.saga_id = w.saga_id AND j.seq = w.seq
WHERE j.shard = :shard::smallint AND j.saga_id = ANY(:saga_ids::uuid[])
