-- name: commit_sagas :many CommittedRow
-- also: commit_sagas_publishing CommittedAtLengthRow
-- also: commit_sagas_at_length CommittedAtLengthRow
-- nullable: tokens[], next_revs[], dues[], inbox_seens[], plans[], waits[], retry_counters[], last_errors[]
-- nullable: parked_reasons[], problem_steps[], o_ns[], o_topics[], o_headers[], o_are_free[], o_token
-- nullable: j_kinds[], j_step_ids[], j_inputs[], j_input_ofs[], j_payloads[]
-- Write the next states of sagas with their journal entries. Each row is judged by the token and the revision its
-- writer knows. A row that gives the saga up or starts a step must also know every message (`inbox_seen`). A saga that
-- is not returned was not written, and neither was anything that goes with it. An array may leave out what would be
-- NULL at its end, for the driver pays for each element. So NULL stands for what is usual: 0 in `waits` and
-- `retry_counters`, the next revision in `next_revs`, and in `plans` and `j_kinds` what is first. `j_revs` and
-- `o_revs` are the revisions before the entries. Without `j_saga_ids` each saga has one journal entry, in the order of
-- `ids`, which its owner has written. An entry of a claim names `process`. The arrays that begin with `a_` are the
-- answers to the messages that were folded. Those with `n_` are search attributes that are set, those with `o_`
-- outgoing messages: the process of `o_token` is to publish them for the length of `o_lease`, but none of those that
-- `o_are_free` names. NULL stands for 0 in `o_ns`, and for what is first in `o_topics`. Without `o_saga_ids` each saga
-- has one message, or none has any. `earlier` is the revision of the last message that its saga had before, and that
-- is not published; 0 if there is none. One statement has none of these three, one has messages alone, and one has
-- all, so that no commit pays for the tables of others. A transactional step's commit is the last statement of its
-- transaction: now() would be when that began. If its COMMIT does not come, the server soon gives the row free.
-- Locks: the rows it writes, for which the statement waits `lock_timeout` milliseconds (55P03); with `skip_locked` it
-- skips those that another session has locked. They are not locked beforehand by every commit, because each lock is a
-- record in the WAL.
-- Plan: the primary keys. The work grows with the batch and not with its square, for any guess of the planner about
-- unknown arrays: see sql/README.md. Subqueries keep the arrays from the planner: for a few sagas that it sees it
-- makes a plan each time, which costs more than all else.
WITH lock_timeout AS MATERIALIZED (
    SELECT
        set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds,
        set_config('idle_in_transaction_session_timeout', (2 * :lock_timeout::integer)::text, true) AS until_commit
),
given AS (
    SELECT
        g.id, g.token, g.rev, g.next_rev, g.release, g.due, g.inbox_seen, g.plan, g.status, g.waits, g.state,
        g.retry_counter, g.last_error, g.parked, g.problem_step
    FROM ROWS FROM (
        unnest(
            :ids::uuid[], :tokens::uuid[], :revs::bigint[], :next_revs::bigint[], :releases::boolean[],
            :dues::timestamptz[], :inbox_seens::bigint[], :plans::text[], :statuses::text[], :waits::smallint[],
            :states::bytea[], :retry_counters::integer[], :last_errors::text[],
            :parked_reasons::text[], :problem_steps::text[]
        ),
        generate_series(1, (SELECT cardinality(:ids::uuid[])))
    ) AS g (
        id, token, rev, next_rev, release, due, inbox_seen, plan, status, waits, state, retry_counter, last_error,
        parked, problem_step, place
    )
),
free AS (
    SELECT s.id
    FROM saga_fn.saga AS s
    WHERE s.shard = :shard::smallint AND s.id = ANY(ARRAY(SELECT each.id FROM unnest(:ids::uuid[]) AS each (id)))
    ORDER BY s.id
    FOR NO KEY UPDATE SKIP LOCKED
),
written AS (
    UPDATE saga_fn.saga AS s
    SET
        rev = coalesce(g.next_rev, g.rev + 1),
        token = CASE WHEN NOT g.release THEN s.token END,
        owner = CASE WHEN NOT g.release THEN s.owner END,
        due_at = CASE WHEN g.release THEN g.due ELSE s.due_at END,
        plan = coalesce(g.plan, (:plans::text[])[1]),
        status = g.status,
        waits = coalesce(g.waits, 0::smallint),
        state = g.state,
        retry_counter = coalesce(g.retry_counter, 0),
        last_error = g.last_error,
        parked = g.parked,
        problem_step = g.problem_step,
        acknowledged = false,
        updated_at = statement_timestamp(),
        ended_at = CASE
            WHEN g.status = ANY(ARRAY['COMPLETED', 'COMPENSATED', 'FAILED']) THEN statement_timestamp()
        END
    FROM given AS g CROSS JOIN lock_timeout
    WHERE
        s.shard = :shard::smallint
        AND s.id = ANY(ARRAY(SELECT each.id FROM unnest(:ids::uuid[]) AS each (id)))
        AND (NOT :skip_locked::boolean OR (s.id = ANY (SELECT f.id FROM free AS f)) IS TRUE)
        AND s.id = g.id
        AND (s.token = g.token OR (s.token IS NULL AND g.token IS NULL))
        AND s.rev = g.rev
        AND (g.inbox_seen IS NULL OR s.inbox_sent = g.inbox_seen)
    RETURNING s.id, s.era, s.inbox_sent
-- also: begin commit_sagas_at_length
        ,
        s.name, s.created_at
-- also: end
),
journal AS (
    INSERT INTO saga_fn.saga_journal (
        shard, era, saga_id, seq, writer, kind, step_id, process, event, input, input_of, payload
    )
    SELECT
        :shard::smallint, e.era, j.saga_id, j.rev + 1, j.writer,
        coalesce(j.kind, (:j_kinds::text[])[1]), j.step_id,
        CASE WHEN coalesce(j.kind, (:j_kinds::text[])[1]) = 'resumed' THEN :process::text END,
        j.event, j.input, j.input_of, j.payload
    FROM unnest(
        CASE WHEN cardinality(:j_saga_ids::uuid[]) > 0 THEN :j_saga_ids::uuid[] ELSE :ids::uuid[] END,
        CASE WHEN cardinality(:j_saga_ids::uuid[]) > 0 THEN :j_revs::bigint[] ELSE :revs::bigint[] END,
        CASE WHEN cardinality(:j_saga_ids::uuid[]) > 0 THEN :j_writers::uuid[] ELSE :tokens::uuid[] END,
        :j_kinds::text[], :j_step_ids::text[], :j_events::bytea[],
        :j_inputs::bytea[], :j_input_ofs::bigint[], :j_payloads::bytea[]
    ) AS j (saga_id, rev, writer, kind, step_id, event, input, input_of, payload)
    CROSS JOIN (SELECT DISTINCT w.era FROM written AS w) AS e -- one or two
    WHERE ((j.saga_id, e.era) = ANY (SELECT w.id, w.era FROM written AS w)) IS TRUE
)
-- also: begin commit_sagas_at_length
,
answered AS (
    UPDATE saga_fn.saga_inbox AS i
    SET answer = a.answer, answered_at = now()
    FROM unnest(:a_saga_ids::uuid[], :a_ids::uuid[], :a_answers::text[]) AS a (saga_id, id, answer)
    JOIN written AS w ON w.id = a.saga_id
    WHERE
        i.shard = :shard::smallint AND i.saga_id = ANY(:a_saga_ids::uuid[]) AND i.id = ANY(:a_ids::uuid[])
        AND i.saga_id = a.saga_id AND i.id = a.id
),
answered_verbs AS (
    UPDATE saga_fn.saga_verb AS v
    SET answer = a.answer, answered_at = now()
    FROM unnest(:a_saga_ids::uuid[], :a_ids::uuid[], :a_answers::text[]) AS a (saga_id, id, answer)
    JOIN written AS w ON w.id = a.saga_id
    WHERE
        v.shard = :shard::smallint AND v.saga_id = ANY(:a_saga_ids::uuid[]) AND v.id = ANY(:a_ids::uuid[])
        AND v.saga_id = a.saga_id AND v.id = a.id
),
attributes AS (
    INSERT INTO saga_fn.saga_attribute AS t (shard, name, key, value, created_at, saga_id)
    SELECT :shard::smallint, w.name, n.key, n.value, w.created_at, w.id
    FROM unnest(:n_saga_ids::uuid[], :n_keys::text[], :n_values::text[]) AS n (saga_id, key, value)
    JOIN written AS w ON w.id = n.saga_id
    ON CONFLICT (shard, saga_id, key) DO UPDATE SET value = excluded.value WHERE t.value <> excluded.value
)
-- also: end
-- also: begin
,
outgoing AS (
    INSERT INTO saga_fn.saga_outgoing (shard, saga_id, rev, n, topic, key, headers, body, token, due_at)
    SELECT
        :shard::smallint, o.saga_id, o.rev + 1, coalesce(o.n, 0::smallint),
        coalesce(o.topic, (:o_topics::text[])[1]), o.key, o.headers, o.body,
        CASE WHEN o.is_free IS NOT TRUE THEN :o_token::uuid END,
        CASE WHEN o.is_free IS NOT TRUE THEN statement_timestamp() + :o_lease::interval ELSE statement_timestamp() END
    FROM unnest(
        CASE WHEN cardinality(:o_saga_ids::uuid[]) > 0 THEN :o_saga_ids::uuid[] ELSE :ids::uuid[] END,
        CASE WHEN cardinality(:o_saga_ids::uuid[]) > 0 THEN :o_revs::bigint[] ELSE :revs::bigint[] END,
        :o_ns::smallint[], :o_topics::text[], :o_keys::text[],
        :o_headers::bytea[], :o_bodies::bytea[], :o_are_free::boolean[]
    ) AS o (saga_id, rev, n, topic, key, headers, body, is_free)
    WHERE o.body IS NOT NULL AND (o.saga_id = ANY (SELECT w.id FROM written AS w)) IS TRUE
)
-- also: end
SELECT
    w.id, w.inbox_sent, statement_timestamp() AS now
-- also: begin
    ,
    coalesce(
        (
            SELECT e.rev
            FROM saga_fn.saga_outgoing AS e
            WHERE
                e.shard = :shard::smallint AND e.saga_id = w.id AND e.blocks
                AND cardinality(:o_bodies::bytea[]) > 0
                AND (cardinality(:o_saga_ids::uuid[]) = 0 OR w.id = ANY(:o_saga_ids::uuid[]))
            ORDER BY e.rev DESC, e.n DESC
            LIMIT 1
        ),
        0::bigint
    ) AS earlier
-- also: end
FROM written AS w
