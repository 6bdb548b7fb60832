-- name: read_act :one ActRow
-- nullable: answer
-- The traces of an act upon a saga: an entry of its journal, or a message and perhaps its answer.
-- Locks: none.
-- Plan: the primary keys of saga and saga_verb, and the range of the journal's that is the saga's.
WITH found AS MATERIALIZED (
    SELECT s.era, s.rev
    FROM saga_fn.saga AS s
    WHERE s.shard = :shard::smallint AND s.id = :saga_id::uuid
)
SELECT
    EXISTS (SELECT f.rev FROM found AS f) AS is_there,
    EXISTS (
        SELECT 1
        FROM saga_fn.saga_journal AS j
        WHERE
            j.shard = :shard::smallint AND j.era = (SELECT f.era FROM found AS f) AND j.saga_id = :saga_id::uuid
            AND j.seq <= (SELECT f.rev FROM found AS f) AND j.writer = :id::uuid
    ) AS is_written,
    EXISTS (
        SELECT 1
        FROM saga_fn.saga_verb AS v
        WHERE v.shard = :shard::smallint AND v.saga_id = :saga_id::uuid AND v.id = :id::uuid
    ) AS is_sent,
    (
        SELECT v.answer
        FROM saga_fn.saga_verb AS v
        WHERE v.shard = :shard::smallint AND v.saga_id = :saga_id::uuid AND v.id = :id::uuid
    ) AS answer
