-- name: read_journal :many JournalRow
-- nullable: process, input, payload
-- A saga's journal after entry `after`, up to and with entry `last`, in order, `most` of it.
-- Locks: none.
-- Plan: a range of the journal's primary key, once the saga's has told its era, with a probe for each entry that names
-- its input.
SELECT
    j.seq,
    j.writer,
    j.process,
    j.event,
    coalesce(j.input, (
        SELECT given.payload
        FROM saga_fn.saga_journal AS given
        WHERE
            given.shard = :shard::smallint AND given.era = j.era AND given.saga_id = :saga_id::uuid
            AND given.seq = j.input_of
    )) AS input,
    j.payload
FROM saga_fn.saga_journal AS j
WHERE
    j.shard = :shard::smallint
    AND j.era = (SELECT s.era FROM saga_fn.saga AS s WHERE s.shard = :shard::smallint AND s.id = :saga_id::uuid)
    AND j.saga_id = :saga_id::uuid AND j.seq > :after::bigint AND j.seq <= :last::bigint
ORDER BY j.seq
LIMIT :most::bigint
