-- The schema and what it knows of itself. Run before any migration by the process that comes first, so each statement
-- can be repeated; it never changes once released: a change is a migration.
CREATE SCHEMA IF NOT EXISTS saga_fn;

-- lint: one row a store, because it describes the store as a whole: not sharded
-- One row a migration applied. Its insertion is a migration's first statement and, until the commit, its lock.
CREATE TABLE IF NOT EXISTS saga_fn.migration (
    number     integer     PRIMARY KEY,
    name       text        NOT NULL,
    breaking   boolean     NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    -- The statements' fingerprint: a library with other ones under this number must not use the schema.
    fingerprint text       NOT NULL
);

-- lint: one row a store, because it describes the store as a whole: not sharded
-- Settings that are the same for every process that uses this store: `shards`, the number of shards.
CREATE TABLE IF NOT EXISTS saga_fn.setting (
    name  text PRIMARY KEY,
    value text NOT NULL
);
