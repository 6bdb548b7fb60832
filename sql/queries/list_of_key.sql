-- name: list_of_key :many ListedRow
-- nullable: aggregation_id, parked, problem_step, last_error, due_at, owner, ended_at
-- nullable: of_version, of_reason, of_step, of_error, of_acknowledged, ended_from, ended_before
-- List sagas of a business key and these names, newest start first, from (`at`, `at_id`) on down to `bound`: the one
-- that is active, and those that have ended. The rows that the rest of the filter throws away are some of that key's.
-- Locks: none.
-- Plan: a probe of saga_active_key and a range of saga_ended_key for each name.
SELECT
    f.id, f.name, f.version, f.rev, f.aggregation_id, f.trace_id, f.status, f.waits, f.parked, f.problem_step,
    f.acknowledged, f.last_error, f.retry_counter, f.due_at, f.owner, f.created_at, f.updated_at, f.ended_at
FROM unnest(:names::text[]) AS w (name)
CROSS JOIN LATERAL (
    (
        SELECT
            s.id, s.name, s.version, s.rev, s.aggregation_id, s.trace_id, s.status, s.waits, s.parked, s.problem_step,
            s.acknowledged, s.last_error, s.retry_counter, s.due_at, s.owner, s.created_at, s.updated_at, s.ended_at
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = w.name AND s.aggregation_id = :aggregation_id::text
            AND s.ended_at IS NULL
            AND (:of_version::integer IS NULL OR s.version = :of_version::integer)
            AND s.status = ANY(:statuses::text[]) AND (s.waits & :waits::smallint) = :waits::smallint
            AND (:of_reason::text IS NULL OR s.parked = :of_reason::text)
            AND (
                :of_step::text IS NULL OR s.problem_step = :of_step::text
                OR regexp_replace(s.problem_step, '[[](0|[1-9][0-9]{0,2})]$', '') = :of_step::text
            )
            AND (:of_error::text IS NULL OR s.last_error = :of_error::text)
            AND (:of_acknowledged::boolean IS NULL OR s.acknowledged = :of_acknowledged::boolean)
            AND (:ended_from::timestamptz IS NULL OR s.ended_at >= :ended_from::timestamptz)
            AND (:ended_before::timestamptz IS NULL OR s.ended_at < :ended_before::timestamptz)
            AND (s.created_at, s.id) < (:at::timestamptz, :at_id::uuid) AND s.created_at >= :bound::timestamptz
        ORDER BY s.created_at DESC, s.id DESC
        LIMIT :most::integer
    )
    UNION ALL
    (
        SELECT
            s.id, s.name, s.version, s.rev, s.aggregation_id, s.trace_id, s.status, s.waits, s.parked, s.problem_step,
            s.acknowledged, s.last_error, s.retry_counter, s.due_at, s.owner, s.created_at, s.updated_at, s.ended_at
        FROM saga_fn.saga AS s
        WHERE
            s.shard = :shard::smallint AND s.name = w.name AND s.aggregation_id = :aggregation_id::text
            AND s.ended_at IS NOT NULL
            AND (:of_version::integer IS NULL OR s.version = :of_version::integer)
            AND s.status = ANY(:statuses::text[]) AND (s.waits & :waits::smallint) = :waits::smallint
            AND (:of_reason::text IS NULL OR s.parked = :of_reason::text)
            AND (
                :of_step::text IS NULL OR s.problem_step = :of_step::text
                OR regexp_replace(s.problem_step, '[[](0|[1-9][0-9]{0,2})]$', '') = :of_step::text
            )
            AND (:of_error::text IS NULL OR s.last_error = :of_error::text)
            AND (:of_acknowledged::boolean IS NULL OR s.acknowledged = :of_acknowledged::boolean)
            AND (:ended_from::timestamptz IS NULL OR s.ended_at >= :ended_from::timestamptz)
            AND (:ended_before::timestamptz IS NULL OR s.ended_at < :ended_before::timestamptz)
            AND (s.created_at, s.id) < (:at::timestamptz, :at_id::uuid) AND s.created_at >= :bound::timestamptz
        ORDER BY s.created_at DESC, s.id DESC
        LIMIT :most::integer
    )
) AS f
ORDER BY f.created_at DESC, f.id DESC
LIMIT :most::integer
