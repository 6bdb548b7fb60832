-- The tables of a saga store. Every key and index is led by `shard`; nothing here needs a sequence, a trigger or a
-- foreign key, so that the store runs unchanged behind a pooler and on a sharded server.

-- One narrow row per saga, updated in place. No index mentions a column that an ordinary step changes, and the page
-- keeps room for the row's next versions. So such an update touches no index (HOT).
CREATE TABLE saga_fn.saga (
    shard          smallint    NOT NULL,
    -- The part of the journal that its entries stand in: the month of its start, in months since January 2000.
    era            smallint    NOT NULL,
    -- Constant, as all columns up to `format`.
    id             uuid        NOT NULL,
    name           text        NOT NULL,
    version        integer     NOT NULL,
    aggregation_id text,
    trace_id       text        NOT NULL,
    -- Fingerprint of the initial data: a start repeated under one idempotency key must bring the same.
    request        bytea       NOT NULL,
    -- Fingerprint of the plan that the state was made by; its data is in saga_plan.
    plan           text        NOT NULL,
    -- Format of `state` and of the journal's events: a worker claims only what it can read.
    format         smallint    NOT NULL,
    status         text        NOT NULL,
    -- Why a suspended saga waits: 1 retry, 2 timer, 4 event, 16 parked, 32 parked until a plan fits; 64 paused, with 16
    -- alone beside it. 8 beside these: no message makes it due.
    waits          smallint    NOT NULL,
    -- Fencing token of the current claim: fresh for each, carried by every write.
    token          uuid,
    owner          uuid,
    -- While owned the end of the lease, while asleep the time to wake.
    due_at         timestamptz,
    -- Messages sent so far: a commit that gives the saga up must know them all.
    inbox_sent        bigint      NOT NULL DEFAULT 0,
    retry_counter  integer     NOT NULL DEFAULT 0,
    -- Type name and code only; messages are payload and live in the journal.
    last_error     text,
    -- Why the saga is parked; and the step that is parked, or that a FAILED saga failed at. Both stand in no index.
    parked         text,
    problem_step   text,
    -- Whether a person has looked at its end, if it is FAILED. Every later change of the saga ends that.
    acknowledged   boolean     NOT NULL DEFAULT false,
    -- Whether its start had an idempotency key: then a tombstone takes the row's place when it is deleted.
    keyed          boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- Columns that every step changes stand last: an update logs no byte of those before.
    -- Number of the last journal entry.
    rev            bigint      NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz,
    -- Its end is the same from step to step, and is not logged either.
    state          bytea       NOT NULL,
    PRIMARY KEY (shard, id),
    -- Every statement that writes a row reads and plans these conditions anew: a shorter one costs less.
    -- An ended saga has the time of its end, and no other has one.
    CONSTRAINT saga_status_known CHECK (
        status = ANY(
            CASE
                WHEN ended_at IS NULL THEN '{RUNNING,SUSPENDED,COMPENSATING}'::text[]
                ELSE '{COMPLETED,COMPENSATED,FAILED}'::text[]
            END
        )
    ),
    CONSTRAINT saga_suspended_has_reason CHECK ((waits <> 0) = (status = 'SUSPENDED')),
    CONSTRAINT saga_owner_has_token CHECK ((owner IS NULL) = (token IS NULL)),
    CONSTRAINT saga_acknowledged_has_failed CHECK (NOT acknowledged OR status = 'FAILED'),
    -- No live row that no scan can find: only a person or an event without a timeout may be waited for without a time.
    -- An ended one has no owner, and is never due.
    CONSTRAINT saga_live_is_due CHECK (
        CASE
            WHEN ended_at IS NOT NULL THEN owner IS NULL AND due_at IS NULL
            ELSE due_at IS NOT NULL OR (status = 'SUSPENDED' AND owner IS NULL AND waits & 3::smallint = 0)
        END
    ),
    CONSTRAINT saga_state_is_small CHECK (octet_length(state) <= 65536),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_times_are_readable CHECK (
        least(created_at, updated_at, due_at, ended_at) >= '0001-01-01 00:00:00+00'
        AND greatest(created_at, updated_at, due_at, ended_at) < '10000-01-01 00:00:00+00'
    )
) WITH (fillfactor = 45);

-- Rows that a claim scans, by definition. An index by a priority would walk past all that its process does not know.
-- Behind 100,000 of those it takes three times as long (`python -m tests.bench --only claims`). If claims are to go by
-- priority, each priority gets such an index of its own: the others pay next to nothing for it.
CREATE INDEX saga_due ON saga_fn.saga (shard, name, version, due_at) WHERE due_at IS NOT NULL;

-- Rows that wait for a person: all from 16 on is a kind of that, and a comparison is what a planner can estimate. The
-- columns here change when a saga is suspended, which changes `due_at`, too.
-- No name is empty, and only a statement that says so can use this index or those below that say so. Else a statement
-- that looks for ids takes one of them for the primary key, if it was planned when the table was small. It then walks
-- a shard from end to end.
CREATE INDEX saga_parked ON saga_fn.saga (shard, name, version, created_at, id) WHERE waits >= 16 AND name <> '';

-- Rows that wait for a plan that fits them.
CREATE INDEX saga_unfit ON saga_fn.saga (shard, name, version, id)
WHERE waits >= 32 AND waits < 64 AND name <> '';

-- Rows that ended FAILED, those apart that a person has looked at, by the time of their end.
CREATE INDEX saga_failed ON saga_fn.saga (shard, name, version, acknowledged, ended_at, id)
WHERE status = 'FAILED' AND name <> '';

-- Lists of sagas, a range of an index for each name and version, the newest first or the oldest: `core/listing.py` says
-- which filter is served by which of them. Ids that are made of keys are in no order, so the moment leads.
CREATE INDEX saga_created ON saga_fn.saga (shard, name, version, created_at, id) WHERE name <> '';

-- Rows that have not ended, by what changes at a moment that changes `due_at`, too.
CREATE INDEX saga_live ON saga_fn.saga (shard, name, version, status, waits, created_at, id)
WHERE ended_at IS NULL AND name <> '';

-- Rows that have ended, by the time of their end.
CREATE INDEX saga_ended ON saga_fn.saga (shard, name, version, status, ended_at, id)
WHERE ended_at IS NOT NULL AND name <> '';

-- At most one active saga per business key and name.
CREATE UNIQUE INDEX saga_active_key ON saga_fn.saga (shard, name, aggregation_id)
WHERE aggregation_id IS NOT NULL AND ended_at IS NULL;

-- Business keys of sagas that have ended: an event that comes after such an end is refused, not kept for the next saga.
CREATE INDEX saga_ended_key ON saga_fn.saga (shard, name, aggregation_id, created_at, id)
WHERE aggregation_id IS NOT NULL AND ended_at IS NOT NULL;

-- Append-only, one row per accepted event. Folding a saga's events gives its state again. One table, or one that is
-- partitioned by `era`, as the first migration was told to make it.
CREATE TABLE saga_fn.saga_journal (
    -- In an order that leaves no gaps between them: every step of every saga writes such a row.
    recorded_at timestamptz NOT NULL DEFAULT now(),
    seq         bigint      NOT NULL,
    saga_id     uuid        NOT NULL,
    -- Who wrote it: the claim, by its token, or an outsider's single write. With `seq` it names the write, so that a
    -- commit whose answer was lost can be looked up.
    writer      uuid        NOT NULL,
    -- The entry whose payload the step was given, where it was given just that: no payload is kept twice.
    input_of    bigint,
    shard       smallint    NOT NULL,
    -- Its saga's.
    era         smallint    NOT NULL,
    -- For people: both are in the event.
    kind        text        NOT NULL,
    step_id     text,
    -- For people: the process that took the saga with this entry, by its host and its number there, or NULL.
    process     text,
    -- The event as the core folded it.
    event       bytea       NOT NULL,
    -- Payloads: what a step was given, and what came of it (output, error, outside event, initial data). The first byte
    -- is the header: JSON begins with one below 128; those from there on are for other forms. The first entry's input
    -- is the headers of the caller's trace.
    input       bytea,
    payload     bytea,
    PRIMARY KEY (shard, era, saga_id, seq),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_journal_times_are_readable CHECK (
        recorded_at >= '0001-01-01 00:00:00+00' AND recorded_at < '10000-01-01 00:00:00+00'
    )
);

-- lint: one row a store, because partitions are the table's, and each holds entries of all shards
-- One row a partition of the journal; none if it is one table. A start takes the newest era that is here and not later
-- than its month: so a partition is attached before its row is written, and its row is deleted before it is detached.
CREATE TABLE saga_fn.journal_era (
    era smallint PRIMARY KEY
);

-- Events for sagas that another process may own. Who may insert here asks for no verb: those are in saga_verb.
CREATE TABLE saga_fn.saga_inbox (
    shard       smallint    NOT NULL,
    saga_id     uuid        NOT NULL,
    id          uuid        NOT NULL,
    body        bytea       NOT NULL,
    sent_at     timestamptz NOT NULL DEFAULT now(),
    -- Its answer: 'applied', or the core's refusal. NULL while no owner has read it.
    answer      text,
    answered_at timestamptz,
    PRIMARY KEY (shard, saga_id, id),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_inbox_times_are_readable CHECK (
        least(sent_at, answered_at) >= '0001-01-01 00:00:00+00'
        AND greatest(sent_at, answered_at) < '10000-01-01 00:00:00+00'
    )
);

-- Events without an answer: few of a saga's events, however many it has had.
CREATE INDEX saga_inbox_unread ON saga_fn.saga_inbox (shard, saga_id) WHERE answer IS NULL;

-- Operators' verbs for sagas that another process may own. Their owners read them with the events, in one order.
CREATE TABLE saga_fn.saga_verb (
    shard       smallint    NOT NULL,
    saga_id     uuid        NOT NULL,
    id          uuid        NOT NULL,
    kind        text        NOT NULL,
    body        bytea       NOT NULL,
    sent_at     timestamptz NOT NULL DEFAULT now(),
    -- As in saga_inbox.
    answer      text,
    answered_at timestamptz,
    PRIMARY KEY (shard, saga_id, id),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_verb_times_are_readable CHECK (
        least(sent_at, answered_at) >= '0001-01-01 00:00:00+00'
        AND greatest(sent_at, answered_at) < '10000-01-01 00:00:00+00'
    )
);

-- Acts of operators: one row for each verb of a saga, and for each verb of all sagas that a filter finds. The process
-- that holds the row's lease carries the latter out. When it has died, another one goes on from `progress`.
CREATE TABLE saga_fn.saga_operation (
    -- Always the first: there are few rows, and they are listed together.
    shard       smallint    NOT NULL,
    id          uuid        NOT NULL,
    verb        text        NOT NULL,
    step_id     text,
    -- The saga of a verb that was asked of one.
    saga_id     uuid,
    actor       text,
    reason      text,
    -- The verb with what was given with it, the filter and the rate.
    request     bytea       NOT NULL,
    -- The name whose definition a process has to know to carry it out.
    needs       text,
    -- Only who may write it makes a process carry the row out.
    state       text        NOT NULL DEFAULT 'done',
    -- Counts, the place in the list, and the sagas that are worked on now.
    progress    bytea       NOT NULL,
    -- The counts of an act that was recorded before it was done. No process that carries a row out reads them: so a
    -- role may write them which may make no process do anything.
    outcome     bytea,
    -- Fencing token of the process that carries it out.
    token       uuid,
    lease_end   timestamptz NOT NULL DEFAULT now(),
    began_at    timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, id),
    CONSTRAINT saga_operation_state_known CHECK (state = ANY(ARRAY['running', 'stopped', 'done'])),
    CONSTRAINT saga_operation_outcome_is_of_a_record CHECK (outcome IS NULL OR (state = 'done' AND token IS NULL)),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_operation_times_are_readable CHECK (
        least(lease_end, began_at, updated_at) >= '0001-01-01 00:00:00+00'
        AND greatest(lease_end, began_at, updated_at) < '10000-01-01 00:00:00+00'
    )
);

-- The newest operations first. No verb is empty: as with the names of sagas.
CREATE INDEX saga_operation_began ON saga_fn.saga_operation (shard, began_at, id) WHERE verb <> '';

-- Acts that have no outcome yet: their processes are at them, or have died.
CREATE INDEX saga_operation_open ON saga_fn.saga_operation (shard, began_at, id)
WHERE outcome IS NULL AND token IS NULL AND state = 'done';

-- Those that a process has to carry out.
CREATE INDEX saga_operation_running ON saga_fn.saga_operation (shard, lease_end) WHERE state = 'running';

-- Events for the saga of a name that is, or will be, active under a business key. Each is stored here before anything
-- else happens to it, and stands here until it expires, so that a repetition is known.
CREATE TABLE saga_fn.saga_event (
    shard          smallint    NOT NULL,
    -- The name of the saga.
    name           text        NOT NULL,
    aggregation_id text        NOT NULL,
    id             uuid        NOT NULL,
    event          text        NOT NULL,
    body           bytea       NOT NULL,
    sent_at        timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL,
    -- Whose inbox it was put into; NULL while no saga has got it.
    taken_by       uuid,
    -- Whether a saga may take it that begins after another one of this key has ended.
    for_next       boolean     NOT NULL DEFAULT false,
    -- Whether that saga had got it before, by its own id: this one was dropped.
    repeated       boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (shard, name, aggregation_id, id),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_event_times_are_readable CHECK (
        least(sent_at, expires_at) >= '0001-01-01 00:00:00+00'
        AND greatest(sent_at, expires_at) < '10000-01-01 00:00:00+00'
    )
);

CREATE INDEX saga_event_kept ON saga_fn.saga_event (shard, name, aggregation_id) WHERE taken_by IS NULL;

CREATE INDEX saga_event_expiry ON saga_fn.saga_event (shard, expires_at);

-- Events that were sent in a caller's transaction: only rows are inserted there, so that no owner waits for its end. A
-- process that works on sagas takes them when they are committed, and sends each as any sender does.
CREATE TABLE saga_fn.saga_sent (
    -- Always the first: rows are few and go soon, and all of them are looked for together.
    shard          smallint    NOT NULL,
    -- Its own, so that no insert ever waits for that of another transaction.
    id             uuid        NOT NULL,
    -- The saga that it is for; or the name and the business key of one.
    saga_id        uuid,
    name           text,
    aggregation_id text,
    -- The id of the event: two rows with the same one are one event.
    message_id     uuid        NOT NULL,
    event          text        NOT NULL,
    body           bytea       NOT NULL,
    -- When it was sent, not when its transaction began: no saga may get it that came after another one of its key.
    sent_at        timestamptz NOT NULL DEFAULT statement_timestamp(),
    expires_at     timestamptz,
    for_next       boolean     NOT NULL DEFAULT false,
    -- Until then a process is at it; then the next one is.
    due_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, id),
    CONSTRAINT saga_sent_has_a_target CHECK (
        (saga_id IS NOT NULL AND name IS NULL AND aggregation_id IS NULL)
        OR (saga_id IS NULL AND name IS NOT NULL AND aggregation_id IS NOT NULL)
    ),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_sent_times_are_readable CHECK (
        least(sent_at, expires_at, due_at) >= '0001-01-01 00:00:00+00'
        AND greatest(sent_at, expires_at, due_at) < '10000-01-01 00:00:00+00'
    )
);

CREATE INDEX saga_sent_due ON saga_fn.saga_sent (shard, due_at);

-- Events that are on their way already, and their number.
CREATE INDEX saga_sent_saga ON saga_fn.saga_sent (shard, saga_id, message_id) WHERE saga_id IS NOT NULL;

CREATE INDEX saga_sent_key ON saga_fn.saga_sent (shard, name, aggregation_id, message_id) WHERE name IS NOT NULL;

-- Outgoing messages, and calls of hooks: each is written by the commit that makes it true, and deleted when its
-- publisher has confirmed it. Their order is that of their saga's revisions, which are given under the lock of the
-- saga's row.
CREATE TABLE saga_fn.saga_outgoing (
    shard      smallint    NOT NULL,
    saga_id    uuid        NOT NULL,
    -- The journal entry that made it true, and its place among the messages of that entry.
    rev        bigint      NOT NULL,
    n          smallint    NOT NULL,
    topic      text        NOT NULL,
    key        text        NOT NULL,
    headers    bytea,
    body       bytea       NOT NULL,
    -- Fencing token of the process that publishes it; NULL while none does.
    token      uuid,
    -- When it may be taken: the end of that process's lease, the next attempt, or the next look whether it is the first
    -- of its saga.
    due_at     timestamptz NOT NULL DEFAULT now(),
    attempts   integer     NOT NULL DEFAULT 0,
    -- Why the last attempt failed, for an operator.
    error      text,
    -- Since when it is not tried any more: it waits for an operator.
    dead_at    timestamptz,
    -- Whether the later messages of its saga wait for it though it is dead.
    blocks     boolean     NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, saga_id, rev, n),
    -- A dead one is held by no process, and tells why; a live one blocks.
    CONSTRAINT saga_outgoing_dead_or_blocks CHECK (
        CASE WHEN dead_at IS NULL THEN blocks ELSE token IS NULL AND error IS NOT NULL END
    ),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_outgoing_times_are_readable CHECK (
        least(due_at, dead_at, created_at) >= '0001-01-01 00:00:00+00'
        AND greatest(due_at, dead_at, created_at) < '10000-01-01 00:00:00+00'
    )
);

-- Those that are tried, by topic: the first of each range is the next that is due. No topic is empty: as with the names
-- of sagas.
CREATE INDEX saga_outgoing_due ON saga_fn.saga_outgoing (shard, topic, due_at) WHERE dead_at IS NULL AND topic <> '';

-- Those that wait for an operator.
CREATE INDEX saga_outgoing_dead ON saga_fn.saga_outgoing (shard, dead_at, saga_id) WHERE dead_at IS NOT NULL;

-- Records beside the journal: results that came too late, verbs that were refused. Never folded.
CREATE TABLE saga_fn.saga_rejection (
    shard       smallint    NOT NULL,
    saga_id     uuid        NOT NULL,
    id          uuid        NOT NULL,
    kind        text        NOT NULL,
    detail      text        NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, saga_id, id),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_rejection_times_are_readable CHECK (
        recorded_at >= '0001-01-01 00:00:00+00' AND recorded_at < '10000-01-01 00:00:00+00'
    )
);

-- Search attributes: values that a saga's definition names, as they were last set. They are no part of its state.
CREATE TABLE saga_fn.saga_attribute (
    shard      smallint    NOT NULL,
    -- The name and the start of the saga: neither ever changes.
    name       text        NOT NULL,
    key        text        NOT NULL,
    -- One letter for the type, then the value: the order of bytes is the order of the values of that type.
    value      text        COLLATE pg_catalog."C" NOT NULL,
    created_at timestamptz NOT NULL,
    saga_id    uuid        NOT NULL,
    PRIMARY KEY (shard, saga_id, key),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_attribute_times_are_readable CHECK (
        created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'
    )
);

-- Sagas with a value, the newest first.
CREATE INDEX saga_attribute_value ON saga_fn.saga_attribute (shard, name, key, value, created_at, saga_id);

-- Every plan a saga was ever run by, so that a journal can be folded for ever.
CREATE TABLE saga_fn.saga_plan (
    shard smallint NOT NULL,
    id    text     NOT NULL,
    -- The nil UUID is the copy that a process writes in a transaction of its own. A start in a caller's transaction
    -- writes another one if it sees none: two such transactions must not wait for each other.
    copy  uuid     NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'::uuid,
    data  bytea    NOT NULL,
    PRIMARY KEY (shard, id, copy)
);

-- One row per process that works on sagas, written each half minute: what it works on, and when it last said so. A
-- process that stops forgets its row, rows of those that died are swept.
CREATE TABLE saga_fn.saga_process (
    -- Always the first: there are few rows, and all of them are read together.
    shard    smallint    NOT NULL,
    -- The owner that its claims name.
    id       uuid        NOT NULL,
    host     text        NOT NULL,
    -- Its definitions: the n-th has the n-th name, version and plan.
    names    text[]      NOT NULL,
    versions integer[]   NOT NULL,
    plans    text[]      NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, id),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_process_times_are_readable CHECK (
        seen_at >= '0001-01-01 00:00:00+00' AND seen_at < '10000-01-01 00:00:00+00'
    )
);

-- The processes that were seen last, and those that have said nothing for long, however many rows there are.
CREATE INDEX saga_process_seen ON saga_fn.saga_process (shard, seen_at);

-- Sagas that were deleted and whose start had an idempotency key: a repeat of that start meets one, and starts nothing.
-- One statement deletes the saga's row and writes this one, so every snapshot has one of the two.
CREATE TABLE saga_fn.saga_tombstone (
    shard          smallint    NOT NULL,
    id             uuid        NOT NULL,
    name           text        NOT NULL,
    aggregation_id text,
    -- Fingerprint of the initial data, as in `saga`.
    request        bytea       NOT NULL,
    -- Its end.
    status         text        NOT NULL,
    ended_at       timestamptz NOT NULL,
    deleted_at     timestamptz NOT NULL DEFAULT now(),
    -- From then on the row counts no more; NULL: it stays.
    expires_at     timestamptz,
    PRIMARY KEY (shard, id),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_tombstone_times_are_readable CHECK (
        least(ended_at, deleted_at, expires_at) >= '0001-01-01 00:00:00+00'
        AND greatest(ended_at, deleted_at, expires_at) < '10000-01-01 00:00:00+00'
    )
);

CREATE INDEX saga_tombstone_expiry ON saga_fn.saga_tombstone (shard, expires_at) WHERE expires_at IS NOT NULL;

-- One row a shard: which process deletes sagas in it, and until when no other one does.
CREATE TABLE saga_fn.saga_retention (
    shard smallint    NOT NULL,
    owner uuid        NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (shard),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_retention_times_are_readable CHECK (
        until >= '0001-01-01 00:00:00+00' AND until < '10000-01-01 00:00:00+00'
    )
);

-- One row a pause: of a name, or of everything. Claims of what is paused find nothing, and owners look here as often as
-- they look at their leases. Few rows: all of them are read together.
CREATE TABLE saga_fn.saga_pause (
    -- Always the first.
    shard     smallint    NOT NULL,
    -- The name of the sagas; the empty one is everything.
    name      text        NOT NULL,
    -- Who paused it, and why.
    actor     text,
    reason    text,
    paused_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, name),
    -- No moment that a client could not read: one such row would keep a whole answer from it.
    CONSTRAINT saga_pause_times_are_readable CHECK (
        paused_at >= '0001-01-01 00:00:00+00' AND paused_at < '10000-01-01 00:00:00+00'
    )
);
