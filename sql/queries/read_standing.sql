-- name: read_standing :optional StandingRow
-- nullable: token, writer
-- How a saga stands for a writer whose commit matched nothing: the saga's row, and who wrote the journal entry that
-- this commit would have written. One statement, so one snapshot: a commit that comes through between two looks would
-- show in one of them alone. Its writer would believe that it had lost the saga.
-- Locks: none.
-- Plan: the primary keys of the saga and of the journal.
SELECT s.rev, s.token, s.inbox_sent, j.writer, now() AS now
FROM saga_fn.saga AS s
LEFT JOIN LATERAL (
    SELECT e.writer
    FROM saga_fn.saga_journal AS e
    WHERE e.shard = :shard::smallint AND e.era = s.era AND e.saga_id = s.id AND e.seq = :seq::bigint
    LIMIT 1 -- as in read_results
) AS j ON true
WHERE s.shard = :shard::smallint AND s.id = :id::uuid
