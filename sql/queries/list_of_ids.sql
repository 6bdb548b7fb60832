-- name: list_of_ids :many ListedRow
-- nullable: aggregation_id, parked, problem_step, last_error, due_at, owner, ended_at
-- nullable: of_version, of_reason, of_step, of_error, of_acknowledged, ended_from, ended_before
-- Read those of these sagas that the rest of a filter finds, newest start first.
-- Locks: none.
-- Plan: the primary key, once for each saga. LIMIT keeps the planner from a join that would walk the table, and from an
-- index of what the filter asks for.
SELECT
    f.id, f.name, f.version, f.rev, f.aggregation_id, f.trace_id, f.status, f.waits, f.parked, f.problem_step,
    f.acknowledged, f.last_error, f.retry_counter, f.due_at, f.owner, f.created_at, f.updated_at, f.ended_at
FROM unnest(:shards::smallint[], :ids::uuid[]) AS w (shard, id)
CROSS JOIN LATERAL (
    SELECT
        s.id, s.name, s.version, s.rev, s.aggregation_id, s.trace_id, s.status, s.waits, s.parked, s.problem_step,
        s.acknowledged, s.last_error, s.retry_counter, s.due_at, s.owner, s.created_at, s.updated_at, s.ended_at
    FROM saga_fn.saga AS s
    WHERE s.shard = w.shard AND s.id = w.id
    LIMIT 1
) AS f
WHERE
    (:of_version::integer IS NULL OR f.version = :of_version::integer)
    AND f.status = ANY(:statuses::text[]) AND (f.waits & :waits::smallint) = :waits::smallint
    AND (:of_reason::text IS NULL OR f.parked = :of_reason::text)
    AND (
        :of_step::text IS NULL OR f.problem_step = :of_step::text
        OR regexp_replace(f.problem_step, '[[](0|[1-9][0-9]{0,2})]$', '') = :of_step::text
    )
    AND (:of_error::text IS NULL OR f.last_error = :of_error::text)
    AND (:of_acknowledged::boolean IS NULL OR f.acknowledged = :of_acknowledged::boolean)
    AND (:ended_from::timestamptz IS NULL OR f.ended_at >= :ended_from::timestamptz)
    AND (:ended_before::timestamptz IS NULL OR f.ended_at < :ended_before::timestamptz)
ORDER BY f.created_at DESC, f.id DESC
