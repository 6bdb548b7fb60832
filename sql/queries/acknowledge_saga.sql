-- name: acknowledge_saga :execrows
-- Say that a person has looked at a saga that FAILED, and record beside its journal who and why. Nothing is done if it
-- has moved on from `rev`, or was acknowledged before. Its state and its journal stay as they are.
-- Locks: the row, for which the statement waits `lock_timeout` milliseconds (55P03); the key of its record, whose id
-- was made for it, so that no other session can hold it.
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
written AS (
    UPDATE saga_fn.saga AS s
    SET acknowledged = true, updated_at = now()
    FROM lock_timeout
    WHERE
        s.shard = :shard::smallint AND s.id = :id::uuid AND s.rev = :rev::bigint AND s.status = 'FAILED'
        AND NOT s.acknowledged
    RETURNING s.id
)
INSERT INTO saga_fn.saga_rejection (shard, saga_id, id, kind, detail)
SELECT :shard::smallint, w.id, :record_id::uuid, :kind::text, :detail::text
FROM written AS w
