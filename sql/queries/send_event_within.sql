-- name: send_event_within :one SentWithinRow
-- nullable: expires_at
-- lint: waits, because the row's id is new and no other session can hold it
-- Send an event to a saga in a transaction of the caller's: it is handed over when that is committed. `known`: the saga
-- has got an event with this id, or this transaction sees one on its way. `ended`: it has ended, or is not there. If
-- none of these is true, `most` events are on their way to the saga.
-- Locks: the key of the row it inserts, which is new, so that no other session can hold it.
-- Plan: the primary keys of the inbox and of saga, and saga_sent_saga.
WITH known AS MATERIALIZED (
    SELECT i.id
    FROM saga_fn.saga_inbox AS i
    WHERE i.shard = :of_saga::smallint AND i.saga_id = :saga_id::uuid AND i.id = :message_id::uuid
    UNION ALL
    SELECT e.id
    FROM saga_fn.saga_sent AS e
    WHERE e.shard = :shard::smallint AND e.saga_id = :saga_id::uuid AND e.message_id = :message_id::uuid
),
active AS MATERIALIZED (
    SELECT s.id
    FROM saga_fn.saga AS s
    WHERE s.shard = :of_saga::smallint AND s.id = :saga_id::uuid AND s.ended_at IS NULL
),
new AS (
    INSERT INTO saga_fn.saga_sent AS e (shard, id, saga_id, message_id, event, body, expires_at)
    SELECT
        :shard::smallint, :id::uuid, :saga_id::uuid, :message_id::uuid, :event::text, :body::bytea,
        :expires_at::timestamptz
    WHERE
        NOT EXISTS (SELECT 1 FROM known) AND EXISTS (SELECT 1 FROM active)
        AND (
            SELECT count(*)
            FROM (
                SELECT other.id
                FROM saga_fn.saga_sent AS other
                WHERE other.shard = :shard::smallint AND other.saga_id = :saga_id::uuid
                LIMIT :most::bigint
            ) AS waiting
        ) < :most::bigint
    RETURNING e.id
)
SELECT
    EXISTS (SELECT 1 FROM new) AS stored,
    EXISTS (SELECT 1 FROM known) AS known,
    NOT EXISTS (SELECT 1 FROM active) AND NOT EXISTS (SELECT 1 FROM known) AS ended
