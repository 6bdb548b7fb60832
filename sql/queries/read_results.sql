-- name: read_results :many ResultRow
-- nullable: input, payload
-- Exactly the named journal entries of many sagas at once: what a claim needs to go on.
-- Locks: none.
-- Plan: the primary keys of saga, for the era, and of the journal, once for each entry. LIMIT keeps the planner from a
-- join that would walk the journal, whose key says nothing of a saga without its era.
SELECT j.saga_id, j.seq, coalesce(j.input, j.given) AS input, j.payload
FROM unnest(:saga_ids::uuid[], :seqs::bigint[]) AS w (saga_id, seq)
CROSS JOIN LATERAL (
    SELECT
        j.saga_id,
        j.seq,
        j.input,
        (
            SELECT given.payload
            FROM saga_fn.saga_journal AS given
            WHERE
                given.shard = :shard::smallint AND given.era = j.era AND given.saga_id = j.saga_id
                AND given.seq = j.input_of
        ) AS given,
        j.payload
    FROM saga_fn.saga_journal AS j
    WHERE
        j.shard = :shard::smallint AND j.saga_id = w.saga_id AND j.seq = w.seq
        AND j.era = (SELECT s.era FROM saga_fn.saga AS s WHERE s.shard = :shard::smallint AND s.id = w.saga_id)
    LIMIT 1
) AS j
