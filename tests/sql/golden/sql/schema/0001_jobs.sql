--! breaking
-- Semicolons, colons and names inside quotes are text: they neither end a statement nor begin a parameter.
CREATE TABLE saga_fn.job (
    shard smallint NOT NULL,
    id    uuid     NOT NULL, -- not the :name
    note  text     DEFAULT 'saga_fn; :name /* ''quoted'' */',
    data  bytea,
    at    timestamptz NOT NULL,
    PRIMARY KEY (shard, id)
);

/* A comment; of several
   lines. */
COMMENT ON TABLE saga_fn.job IS $tag$ one; $1 :two $tag$
