-- name: list_outgoing_places :many OutgoingPlaceRow
-- Where the outgoing messages of a saga stand that are not published, in their order: the first `most` behind that
-- place; with `dead` those that are dead.
-- Locks: none.
-- Plan: a range of the primary key.
SELECT o.rev, o.n
FROM saga_fn.saga_outgoing AS o
WHERE
    o.shard = :shard::smallint AND o.saga_id = :saga_id::uuid
    AND (o.rev, o.n) > (:after_rev::bigint, :after_n::smallint)
    AND (o.dead_at IS NOT NULL) >= :dead::boolean -- not OR: the planner would walk all dead messages of the shard
ORDER BY o.rev, o.n
LIMIT :most::integer
