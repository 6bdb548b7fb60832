-- name: commit_saga :optional CommittedRow
-- nullable: token, next_token, next_owner, due, seen, last_error, j_step_id, j_attempt, j_input, j_payload
-- What commit_sagas does, for one saga with one journal entry and no letter answered: a saga that is alone at the moment
-- does not pay for arrays. The same fence, and the same leave for a row that somebody else has locked.
WITH held AS (
    SELECT s.id
    FROM saga_fn.saga AS s
    WHERE s.shard = :shard::smallint AND s.id = :id::uuid
    FOR NO KEY UPDATE SKIP LOCKED
),
written AS (
    UPDATE saga_fn.saga AS s
    SET
        rev = :next_rev::bigint,
        token = :next_token::uuid,
        owner = :next_owner::uuid,
        due_at = CASE
            WHEN :release::boolean THEN :due::timestamptz
            WHEN s.owner IS NULL THEN now() + :lease::interval
            ELSE s.due_at
        END,
        plan = :plan::text,
        status = :status::text,
        waits = :waits::smallint,
        state = :state::bytea,
        retry_counter = :retry_counter::integer,
        last_error = :last_error::text,
        updated_at = now(),
        ended_at = CASE WHEN :ended::boolean THEN coalesce(s.ended_at, now()) END
    WHERE
        s.shard = :shard::smallint
        AND s.id = :id::uuid
        AND (s.id IN (SELECT h.id FROM held AS h)) IS TRUE
        AND s.token IS NOT DISTINCT FROM :token::uuid
        AND s.rev = :rev::bigint
        AND (:seen::bigint IS NULL OR s.signals = :seen::bigint)
    RETURNING s.id, s.signals
),
journal AS (
    INSERT INTO saga_fn.saga_journal (
        shard, saga_id, seq, kind, step_id, attempt, at, token, write_id, event, input, payload
    )
    SELECT
        :shard::smallint, w.id, :next_rev::bigint, :j_kind::text, :j_step_id::text, :j_attempt::integer,
        :j_at::timestamptz, :token::uuid, :j_write_id::uuid, :j_event::bytea, :j_input::bytea, :j_payload::bytea
    FROM written AS w
)
SELECT w.id, w.signals, now() AS now FROM written AS w
