-- name: take_saga :optional TakenRow
-- not null: token, lease_end
-- Take one saga from its owner, whether or not the lease is running, if it stands as the caller has read it
-- (`from_token`, `rev`): what the owner commits or renews afterwards matches nothing. `lease_end` is where the owner's
-- lease ended then. Called by `abort` alone.
-- Locks: the one row; one that another session keeps locked is waited for `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
held AS MATERIALIZED (
    SELECT s.id, s.due_at AS lease_end
    FROM lock_timeout CROSS JOIN saga_fn.saga AS s
    WHERE
        s.shard = :shard::smallint AND s.id = :id::uuid AND s.token = :from_token::uuid AND s.rev = :rev::bigint
    FOR NO KEY UPDATE
)
UPDATE saga_fn.saga AS s
SET token = :token::uuid, owner = :owner::uuid, due_at = now() + :lease::interval, updated_at = now()
FROM held AS h
WHERE s.shard = :shard::smallint AND s.id = :id::uuid AND s.id = h.id
RETURNING s.token, s.inbox_sent, h.lease_end, now() AS now
