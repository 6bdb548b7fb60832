"""Each rule of the statement linter, by a statement that keeps it and one that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from saga_fn.store.lint import lint_folder, lint_statement

ROOT = Path(__file__).parents[2] / "sql"
UPDATE = "UPDATE saga_fn.saga AS s SET rev = 1"
LOCKING = "SELECT s.id FROM saga_fn.saga AS s WHERE s.shard = $1 FOR UPDATE"

RULES = [
    ("every table is qualified", "SELECT s.id FROM saga_fn.saga AS s", "SELECT s.id FROM saga AS s"),
    ("no SELECT *", "SELECT s.id FROM saga_fn.saga AS s", "SELECT s.* FROM saga_fn.saga AS s"),
    ("no advisory locks", "SELECT now()", "SELECT pg_advisory_xact_lock(1)"),
    ("pg_notify only in notify_*", "SELECT now()", "SELECT pg_notify('a', 'b')"),
    ("no volatile functions", "SELECT now()", "SELECT gen_random_uuid()"),
    ("locks are skipped, not waited for", f"{LOCKING} SKIP LOCKED", LOCKING),
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
]


@pytest.mark.parametrize("rule, good, bad", RULES, ids=[rule for rule, _, _ in RULES])
def test_each_rule_tells_good_from_bad(rule: str, good: str, bad: str) -> None:
    assert rule not in [broken for broken, _ in lint_statement(good)]
    assert rule in [broken for broken, _ in lint_statement(bad)]


def test_every_statement_of_the_store_keeps_every_rule() -> None:
    assert list(lint_folder(ROOT)) == []


def test_an_exception_is_named() -> None:
    assert lint_statement(LOCKING, exempt=frozenset({"waits"})) == []
