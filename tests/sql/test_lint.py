"""Each rule of the statement linter, by a statement that keeps it and one that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from saga_fn._tools.sql.lint import lint_folder, lint_online, lint_statement

ROOT = Path(__file__).parents[2] / "sql"
UPDATE = "UPDATE saga_fn.saga AS s SET rev = 1"
LOCKING = "SELECT s.id FROM saga_fn.saga AS s WHERE s.shard = $1 FOR UPDATE"
BOUND = "WITH p AS MATERIALIZED (SELECT set_config('lock_timeout', '20', true) AS ms)"
INSERT = "INSERT INTO saga_fn.saga_rejection (shard)"
UNBOUNDED = "no lock is waited for without a bound"

RULES = [
    ("every table is qualified", "SELECT s.id FROM saga_fn.saga AS s", "SELECT s.id FROM saga AS s"),
    ("no SELECT *", "SELECT s.id FROM saga_fn.saga AS s", "SELECT s.* FROM saga_fn.saga AS s"),
    ("no advisory locks", "SELECT now()", "SELECT pg_advisory_xact_lock(1)"),
    ("pg_notify only in notify_*", "SELECT now()", "SELECT pg_notify('a', 'b')"),
    ("no volatile functions", "SELECT now()", "SELECT gen_random_uuid()"),
    ("no volatile functions", "SELECT coalesce($1, 1)", "SELECT uuidv7()"),
    ("no volatile functions", "SELECT set_config('a', 'b', true)", "SELECT set_config('a', 'b', false)"),
    ("no volatile functions", "SELECT current_setting('a')", "SELECT set_config('a', 'b', $1)"),
    (
        "every table has a primary key",
        "CREATE TABLE saga_fn.t (shard smallint, id uuid, PRIMARY KEY (shard, id))",
        "CREATE TABLE saga_fn.t (shard smallint, id uuid)",
    ),
    (
        "no unlogged tables",
        "CREATE TABLE saga_fn.t (shard smallint, PRIMARY KEY (shard))",
        "CREATE UNLOGGED TABLE saga_fn.t (shard smallint, PRIMARY KEY (shard))",
    ),
    (UNBOUNDED, f"{LOCKING} SKIP LOCKED", LOCKING),
    (UNBOUNDED, f"{BOUND} {LOCKING.replace('FROM', 'FROM p CROSS JOIN')}", f"{BOUND} {LOCKING}"),
    (UNBOUNDED, f"{BOUND} {UPDATE} FROM p WHERE s.shard = $1", f"{BOUND} {UPDATE} WHERE s.shard = $1"),
    (
        UNBOUNDED,
        f"{BOUND} {UPDATE} FROM p WHERE s.shard = $1",
        f"{BOUND.replace('MATERIALIZED', '')} {UPDATE} FROM p WHERE s.shard = $1",
    ),
    (
        UNBOUNDED,
        f"{BOUND} {UPDATE} FROM p WHERE s.shard = $1",
        f"{BOUND.replace('lock_timeout', 'work_mem')} {UPDATE} FROM p WHERE s.shard = $1",
    ),
    (
        UNBOUNDED,
        f"{BOUND}, u AS ({UPDATE} FROM p WHERE s.shard = $1 RETURNING s.id) {INSERT} SELECT u.id FROM u",
        f"{BOUND}, u AS ({UPDATE} WHERE s.shard = $1 RETURNING s.id) {INSERT} SELECT u.id FROM u",
    ),
    (UNBOUNDED, f"{BOUND} {INSERT} SELECT $1 FROM p", f"{INSERT} VALUES ($1)"),
    (
        UNBOUNDED,
        f"WITH h AS ({LOCKING} SKIP LOCKED) {UPDATE} FROM h WHERE s.shard = $1",
        f"{UPDATE} WHERE s.shard = $1",
    ),
    (
        UNBOUNDED,
        f"WITH h AS ({LOCKING} SKIP LOCKED) {UPDATE} FROM h WHERE s.shard = $1",
        f"WITH h AS ({LOCKING} SKIP LOCKED) DELETE FROM saga_fn.saga_rejection AS n USING h WHERE n.shard = $1",
    ),
    (
        "what locks names its shard",
        f"{LOCKING} SKIP LOCKED",
        "SELECT s.id FROM saga_fn.saga AS s FOR UPDATE SKIP LOCKED",
    ),
    ("what updates names its shard", f"{UPDATE} WHERE s.shard = $1", f"{UPDATE} WHERE s.rev = $1"),
    (
        "a batch names its ids",
        f"{UPDATE} FROM unnest($1::uuid[]) AS g (id) WHERE s.shard = $2 AND s.id = ANY($1::uuid[]) AND s.id = g.id",
        f"{UPDATE} FROM unnest($1::uuid[]) AS g (id) WHERE s.shard = $2 AND s.id = g.id",
    ),
    (
        "what deletes names its shard",
        "DELETE FROM saga_fn.saga_inbox AS i WHERE i.shard = $1",
        "DELETE FROM saga_fn.saga_inbox AS i",
    ),
    (
        "one mutation of a table a statement",
        f"WITH a AS ({UPDATE} WHERE s.shard = $1 RETURNING s.id) SELECT a.id FROM a",
        (
            f"WITH a AS ({UPDATE} WHERE s.shard = $1 RETURNING s.id), b AS ({UPDATE} WHERE s.shard = $1 RETURNING s.id) "
            "SELECT a.id FROM a"
        ),
    ),
    (
        "every moment can be read",
        "CREATE TABLE saga_fn.t (shard smallint, at timestamptz, CHECK (at < '10000-01-01'))",
        "CREATE TABLE saga_fn.t (shard smallint, at timestamptz, late timestamptz, CHECK (late < '10000-01-01'))",
    ),
    ("no sequences", "CREATE TABLE saga_fn.t (shard smallint)", "CREATE TABLE saga_fn.t (shard bigserial)"),
    (
        "no foreign keys",
        "CREATE TABLE saga_fn.t (shard smallint)",
        "CREATE TABLE saga_fn.t (shard smallint, a uuid, FOREIGN KEY (a) REFERENCES saga_fn.saga (id))",
    ),
    (
        "shard leads every key",
        "CREATE TABLE saga_fn.t (shard smallint, id uuid, PRIMARY KEY (shard, id))",
        "CREATE TABLE saga_fn.t (shard smallint, id uuid, PRIMARY KEY (id, shard))",
    ),
    (
        "shard leads every index",
        "CREATE INDEX a ON saga_fn.saga (shard, name)",
        "CREATE INDEX a ON saga_fn.saga (name)",
    ),
    (
        "no triggers",
        "SELECT now()",
        "CREATE TRIGGER t BEFORE UPDATE ON saga_fn.saga FOR EACH ROW EXECUTE FUNCTION saga_fn.f()",
    ),
    ("no functions", "SELECT now()", "DO $$ BEGIN END $$"),
    ("no temporary tables", "SELECT now()", "CREATE TEMP TABLE t (shard smallint)"),
    ("no transaction control", "SELECT now()", "SAVEPOINT a"),
    (
        "what updates names its shard",
        f"{UPDATE} WHERE $1::smallint = s.shard",
        f"{UPDATE} FROM saga_fn.saga_rejection AS n WHERE n.shard = $1 AND s.id = n.saga_id",
    ),
    ("what updates names its shard", f"{UPDATE} WHERE s.shard = $1", f"{UPDATE} FROM a WHERE s.shard = a.shard"),
    (
        "what inserts names its shard",
        "INSERT INTO saga_fn.saga_rejection (shard, id) VALUES ($1, $2)",
        "INSERT INTO saga_fn.saga_rejection (id) VALUES ($1)",
    ),
    (
        "a batch names its ids",
        f"{UPDATE} WHERE s.shard = $1 AND s.id = $2",
        f"{UPDATE} WHERE s.shard = $1 AND s.status = 'FAILED'",
    ),
    (
        "a batch names its ids",
        "DELETE FROM saga_fn.saga_rejection AS n WHERE n.shard = $1 AND n.saga_id = ANY($2::uuid[])",
        "DELETE FROM saga_fn.saga_rejection AS n USING a WHERE n.shard = $1 AND a.id = ANY($2::uuid[])",
    ),
    (
        "rows are locked in one order",
        "SELECT s.id FROM saga_fn.saga AS s WHERE s.shard = $1 ORDER BY s.id FOR UPDATE SKIP LOCKED",
        f"{LOCKING} SKIP LOCKED",
    ),
    (
        "a lookup in a CTE is no join",
        "WITH b AS (SELECT 1 AS a) SELECT s.id FROM saga_fn.saga AS s WHERE (s.rev = ANY (SELECT b.a FROM b)) IS TRUE",
        "WITH b AS (SELECT 1 AS a) SELECT s.id FROM saga_fn.saga AS s WHERE s.shard = 1 AND s.rev = ANY (SELECT b.a FROM b)",
    ),
    ("no tables of others", "SELECT s.id FROM saga_fn.saga AS s", "SELECT a.id FROM other.a"),
    ("nothing depends on LISTEN", "SELECT now()", "LISTEN a"),
    ("only plain statements", "SELECT now()", "TRUNCATE saga_fn.saga_rejection"),
    ("only plain statements", "SELECT now()", "LOCK TABLE saga_fn.saga"),
    ("only plain statements", "SELECT now()", "SET lock_timeout = 1"),
    ("only plain statements", "SELECT now()", "CALL saga_fn.f()"),
]


@pytest.mark.parametrize("rule, good, bad", RULES, ids=[f"{rule}: {bad[:40]}" for rule, _, bad in RULES])
def test_each_rule_tells_good_from_bad(rule: str, good: str, bad: str) -> None:
    assert rule not in [broken for broken, _ in lint_statement(good)]
    assert rule in [broken for broken, _ in lint_statement(bad)]


def test_every_statement_of_the_store_keeps_every_rule() -> None:
    assert list(lint_folder(ROOT)) == []


def test_an_exception_is_named() -> None:
    one = LOCKING.replace("$1", "$1 AND s.id = $2")
    assert [rule for rule, _ in lint_statement(one)] == [UNBOUNDED]
    assert lint_statement(one, exempt=frozenset({"waits"})) == []
    assert lint_statement("LISTEN a", exempt=frozenset({"listens"})) == []


def test_an_exception_that_is_misspelt_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sql" / "queries").mkdir(parents=True)
    query = tmp_path / "sql" / "queries" / "lock.sql"
    for reason, faults in (("waits, because it may", 0), ("wait, because it may", 2), ("waits", 2)):
        text = LOCKING.replace("$1", ":shard::smallint AND s.id = :id::uuid")
        query.write_text(
            f"-- name: lock :many\n-- lint: {reason}\n-- Lock one.\n-- Locks: one, which no other session holds.\n"
            f"-- Plan: none.\n{text}\n"
        )
        assert len(list(lint_folder(tmp_path / "sql"))) == faults


SKIPPING = "SELECT s.id FROM saga_fn.saga AS s WHERE s.shard = :shard::smallint ORDER BY s.id FOR UPDATE SKIP LOCKED"
WAITING = (
    "WITH p AS MATERIALIZED (SELECT set_config('lock_timeout', (:patience::integer)::text, true) AS ms)"
    "\nINSERT INTO saga_fn.saga_rejection (shard) SELECT :shard::smallint FROM p"
)
LONG = "-- Give a row that is there and not locked, of which there may be some, and which is known by"

HEADERS = [
    ("a header says what is locked, and by which plan", "-- Give one.", "SELECT 1 AS a"),
    ("a header says what is locked, and by which plan", "-- Give one.\n-- Plan: p.\n-- Locks: none.", "SELECT 1 AS a"),
    ("a header says what is locked, and by which plan", "-- Give one. Locks: none. Plan: p.", "SELECT 1 AS a"),
    ("a header says what its statement is for", "-- Locks: none.\n-- Plan: p.", "SELECT 1 AS a"),
    ("a header tells the truth about locks", "-- Give one.\n-- Locks: a row.\n-- Plan: p.", "SELECT 1 AS a"),
    ("a header tells the truth about locks", "-- Give one.\n-- Locks: none.\n-- Plan: p.", WAITING),
    ("a header tells the truth about locks", "-- Give one.\n-- Locks: none.\n-- Plan: p.", SKIPPING),
    ("a header says how long a lock is waited for", "-- Give one.\n-- Locks: a row.\n-- Plan: p.", WAITING),
    ("a header says how long a lock is waited for", "-- Give one.\n-- Locks: a row.\n-- Plan: p.", SKIPPING),
    (
        "a sentence of a header is wrapped where its line is full",
        f"{LONG}\n-- its id, and by nothing else.\n-- Locks: none.\n-- Plan: p.",
        "SELECT 1 AS a",
    ),
    ("line 2 is no wider than 120 columns", f"{LONG}, {LONG}.\n-- Locks: none.\n-- Plan: p.", "SELECT 1 AS a"),
]


@pytest.mark.parametrize("rule, header, sql", HEADERS)
def test_a_header_says_purpose_locks_and_plan(tmp_path: Path, rule: str, header: str, sql: str) -> None:
    (tmp_path / "sql" / "queries").mkdir(parents=True)
    (tmp_path / "sql" / "queries" / "q.sql").write_text(f"-- name: q :many Row\n{header}\n{sql}\n")
    assert [line.splitlines()[0] for line in lint_folder(tmp_path / "sql")] == [f"sql/queries/q.sql: {rule}."]


@pytest.mark.parametrize(
    "locks, sql",
    [
        ("none.", "SELECT 1 AS a"),
        ("a row, for which it waits `patience` milliseconds.", WAITING),
        ("rows, and those that are locked are skipped.", SKIPPING),
    ],
)
def test_a_header_that_says_it_all_is_taken(tmp_path: Path, locks: str, sql: str) -> None:
    (tmp_path / "sql" / "queries").mkdir(parents=True)
    text = f"-- name: q :many Row\n-- Give one.\n-- Locks: {locks}\n-- Plan: the primary key.\n{sql}\n"
    (tmp_path / "sql" / "queries" / "q.sql").write_text(text)
    assert list(lint_folder(tmp_path / "sql")) == []


CONCURRENTLY = "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON saga_fn.saga (shard, name)"


def test_an_index_on_a_table_in_use_does_not_block_it() -> None:
    making = "CREATE TABLE saga_fn.saga (shard smallint PRIMARY KEY)"
    plain = "CREATE INDEX a ON saga_fn.saga (shard, name)"
    assert lint_online([making, plain], concurrently=False) == []
    assert lint_online([CONCURRENTLY], concurrently=True) == []
    for bad in (plain, CONCURRENTLY):
        assert [rule for rule, _ in lint_online([bad], concurrently=False)] == ["an index is built beside the traffic"]
    for bad in (plain, making, CONCURRENTLY.replace("IF NOT EXISTS ", ""), "DROP INDEX saga_fn.a"):
        assert [rule for rule, _ in lint_online([bad], concurrently=True)] == ["what runs concurrently can be repeated"]
