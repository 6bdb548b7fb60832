-- name: list_parked :many ListedRow
-- nullable: aggregation_id, parked, problem_step, last_error, due_at, owner, ended_at
-- nullable: of_reason, of_step, of_error
-- Do as list_created, for parked and for paused sagas. `waits` are reasons that a saga has to have. The rows that the
-- rest of the filter throws away are some of those that wait for a person.
-- Locks: none.
-- Plan: a range of saga_parked for each shard, name and version.
SELECT
    f.id, f.name, f.version, f.rev, f.aggregation_id, f.trace_id, f.status, f.waits, f.parked, f.problem_step,
    f.acknowledged, f.last_error, f.retry_counter, f.due_at, f.owner, f.created_at, f.updated_at, f.ended_at
FROM unnest(:shards::smallint[], :names::text[], :versions::integer[]) AS w (shard, name, version)
CROSS JOIN LATERAL (
    (
        SELECT
            s.id, s.name, s.version, s.rev, s.aggregation_id, s.trace_id, s.status, s.waits, s.parked, s.problem_step,
            s.acknowledged, s.last_error, s.retry_counter, s.due_at, s.owner, s.created_at, s.updated_at, s.ended_at
        FROM saga_fn.saga AS s
        WHERE
            NOT :oldest_first::boolean
            AND s.shard = w.shard AND s.name = w.name AND s.version = w.version AND s.waits >= 16 AND s.name <> ''
            AND (s.waits & :waits::smallint) = :waits::smallint
            AND (:of_reason::text IS NULL OR s.parked = :of_reason::text)
            AND (
                :of_step::text IS NULL OR s.problem_step = :of_step::text
                OR regexp_replace(s.problem_step, '[[](0|[1-9][0-9]{0,2})]$', '') = :of_step::text
            )
            AND (:of_error::text IS NULL OR s.last_error = :of_error::text)
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
            :oldest_first::boolean
            AND s.shard = w.shard AND s.name = w.name AND s.version = w.version AND s.waits >= 16 AND s.name <> ''
            AND (s.waits & :waits::smallint) = :waits::smallint
            AND (:of_reason::text IS NULL OR s.parked = :of_reason::text)
            AND (
                :of_step::text IS NULL OR s.problem_step = :of_step::text
                OR regexp_replace(s.problem_step, '[[](0|[1-9][0-9]{0,2})]$', '') = :of_step::text
            )
            AND (:of_error::text IS NULL OR s.last_error = :of_error::text)
            AND (s.created_at, s.id) > (:at::timestamptz, :at_id::uuid) AND s.created_at < :bound::timestamptz
        ORDER BY s.created_at, s.id
        LIMIT :most::integer
    )
) AS f
ORDER BY
    CASE WHEN :oldest_first::boolean THEN f.created_at END, CASE WHEN :oldest_first::boolean THEN f.id END,
    f.created_at DESC, f.id DESC
LIMIT :most::integer
