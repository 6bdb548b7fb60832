-- name: find_ended :many EndedRow
-- Sagas of one name and version that ended so, before that moment, the oldest end first. They may be deleted. Those
-- that ended after `sure` are left out, unless their plan is one of `plans` and no event is kept for their business
-- key: without them the next saga of the key would get it. Those with outgoing messages are left out, too.
-- Locks: none.
-- Plan: a range of saga_ended, with probes of saga_event_kept and saga_outgoing_pkey.
SELECT s.id, s.rev, s.era
FROM saga_fn.saga AS s
WHERE
    s.shard = :shard::smallint AND s.name = :name::text AND s.version = :version::integer AND s.status = :status::text
    AND s.ended_at IS NOT NULL AND s.name <> '' AND s.ended_at < :before::timestamptz
    AND ( -- not EXISTS: the planner would make a table of all messages, or of all events
        SELECT o.rev FROM saga_fn.saga_outgoing AS o WHERE o.shard = :shard::smallint AND o.saga_id = s.id LIMIT 1
    ) IS NULL
    AND (
        s.ended_at < :sure::timestamptz
        OR (
            s.plan = ANY(:plans::text[])
            AND (
                SELECT e.id
                FROM saga_fn.saga_event AS e
                WHERE
                    e.shard = :shard::smallint AND e.name = s.name AND e.aggregation_id = s.aggregation_id
                    AND e.taken_by IS NULL AND NOT e.for_next AND e.expires_at > now()
                LIMIT 1
            ) IS NULL
        )
    )
ORDER BY s.ended_at, s.id
LIMIT :most::integer
