-- The participant's guard: one table in the schema of a service that takes part in sagas. It needs nothing else of
-- ours.
CREATE TABLE IF NOT EXISTS saga_fn.saga_guard (
    -- The operation that is done and undone: a step of a saga, as StepContext.operation names it.
    operation  text        PRIMARY KEY,
    -- The number of the last input of the step that has come: the operation stands for this one, and no longer for
    -- earlier ones.
    generation integer     NOT NULL DEFAULT 0,
    done_at    timestamptz,
    -- When it was undone, or was to be undone before it had been done: from then on it must not be done any more.
    undone_at  timestamptz,
    -- How often a later input took an earlier one's place, and how often what stands was asked for again.
    replaced   integer     NOT NULL DEFAULT 0,
    repeats    integer     NOT NULL DEFAULT 0,
    undos      integer     NOT NULL DEFAULT 0
);
