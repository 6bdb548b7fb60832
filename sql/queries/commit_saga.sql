-- name: commit_saga :optional CommittedRow
-- also: commit_saga_publishing CommittedAtLengthRow
-- nullable: token, due, inbox_seen, last_error, parked, problem_step, j_step_id, j_input, j_input_of, j_payload
-- nullable: o_ns[], o_topics[], o_headers[], o_are_free[], o_token
-- Do as commit_sagas, for one saga with one journal entry and no message answered: a saga that is alone at the
-- moment does not pay for arrays. The fence is the same. A transactional step's commit is the last statement of its
-- transaction: now() would be when that began. If its COMMIT does not come, the server soon gives the row free.
-- The arrays that begin with `o_` are the outgoing messages of the entry, as in commit_sagas_at_length; only one of the
-- two statements has them.
-- Locks: the row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT
        set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds,
        set_config('idle_in_transaction_session_timeout', (2 * :lock_timeout::integer)::text, true) AS until_commit
),
written AS (
    UPDATE saga_fn.saga AS s
    SET
        rev = :next_rev::bigint,
        token = CASE WHEN NOT :release::boolean THEN s.token END,
        owner = CASE WHEN NOT :release::boolean THEN s.owner END,
        due_at = CASE WHEN :release::boolean THEN :due::timestamptz ELSE s.due_at END,
        plan = :plan::text,
        status = :status::text,
        waits = :waits::smallint,
        state = :state::bytea,
        retry_counter = :retry_counter::integer,
        last_error = :last_error::text,
        parked = :parked::text,
        problem_step = :problem_step::text,
        acknowledged = false,
        updated_at = statement_timestamp(),
        ended_at = CASE
            WHEN :status::text = ANY(ARRAY['COMPLETED', 'COMPENSATED', 'FAILED']) THEN statement_timestamp()
        END
    FROM lock_timeout
    WHERE
        s.shard = :shard::smallint
        AND s.id = :id::uuid
        AND (s.token = :token::uuid OR (s.token IS NULL AND :token::uuid IS NULL))
        AND s.rev = :rev::bigint
        AND (:inbox_seen::bigint IS NULL OR s.inbox_sent = :inbox_seen::bigint)
    RETURNING s.id, s.era, s.inbox_sent
),
journal AS (
    INSERT INTO saga_fn.saga_journal (
        shard, era, saga_id, seq, writer, kind, step_id, process, event, input, input_of, payload
    )
    SELECT
        :shard::smallint, w.era, w.id, :next_rev::bigint, :j_writer::uuid, :j_kind::text, :j_step_id::text,
        CASE WHEN :j_kind::text = 'resumed' THEN :process::text END,
        :j_event::bytea, :j_input::bytea, :j_input_of::bigint, :j_payload::bytea
    FROM written AS w
)
-- also: begin
,
outgoing AS (
    INSERT INTO saga_fn.saga_outgoing (shard, saga_id, rev, n, topic, key, headers, body, token, due_at)
    SELECT
        :shard::smallint, w.id, o.rev + 1, coalesce(o.n, 0::smallint),
        coalesce(o.topic, (:o_topics::text[])[1]), o.key, o.headers, o.body,
        CASE WHEN o.is_free IS NOT TRUE THEN :o_token::uuid END,
        CASE WHEN o.is_free IS NOT TRUE THEN statement_timestamp() + :o_lease::interval ELSE statement_timestamp() END
    FROM written AS w
    CROSS JOIN unnest(
        :o_revs::bigint[], :o_ns::smallint[], :o_topics::text[], :o_keys::text[],
        :o_headers::bytea[], :o_bodies::bytea[], :o_are_free::boolean[]
    ) AS o (rev, n, topic, key, headers, body, is_free)
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
            WHERE e.shard = :shard::smallint AND e.saga_id = w.id AND e.blocks
            ORDER BY e.rev DESC, e.n DESC
            LIMIT 1
        ),
        0::bigint
    ) AS earlier
-- also: end
FROM written AS w
