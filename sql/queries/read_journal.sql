-- name: read_journal :many JournalRow
-- nullable: step_id, attempt, token, input, payload
-- A saga's whole journal, in order.
SELECT j.seq, j.kind, j.step_id, j.attempt, j.at, j.token, j.write_id, j.event, j.input, j.payload, j.recorded_at
FROM saga_fn.saga_journal AS j
WHERE j.shard = :shard::smallint AND j.saga_id = :saga_id::uuid
ORDER BY j.seq
