-- name: read_journal :many JournalRow
-- nullable: input, payload
-- A saga's journal after entry `after`, up to and with entry `last`, in order, `most` of it.
-- Locks: none.
-- Plan: the saga's primary key, for its era; a range of the journal's primary key, with a probe of it for each entry
-- that names its input.
SELECT j.seq, j.writer, j.event, coalesce(j.input, given.payload) AS input, j.payload
FROM saga_fn.saga AS s
JOIN saga_fn.saga_journal AS j ON j.shard = s.shard AND j.era = s.era AND j.saga_id = s.id
LEFT JOIN saga_fn.saga_journal AS given
    ON given.shard = j.shard AND given.era = j.era AND given.saga_id = j.saga_id AND given.seq = j.input_of
WHERE
    s.shard = :shard::smallint AND s.id = :saga_id::uuid AND j.shard = :shard::smallint AND j.saga_id = :saga_id::uuid
    AND j.seq > :after::bigint AND j.seq <= :last::bigint
ORDER BY j.seq
LIMIT :most::bigint
