"""The generated bindings and the code that calls them: nothing is selected that no code reads, and twins do not differ."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pglast.stream import RawStream

from saga_fn._tools.sql.generate import GUARD, QUERIES
from saga_fn._tools.sql.qualify import parsed
from saga_fn._tools.sql.scan import Query, read_queries
from saga_fn.guard import _queries as of_guard
from saga_fn.store import _queries as of_store

PACKAGE = Path(of_store.__file__).parents[1]
STORE = {query.name: query for query in read_queries(QUERIES)}
GUARDS = {query.name: query for query in read_queries(GUARD / "queries")}


@cache
def callers() -> list[ast.AsyncFunctionDef | ast.FunctionDef]:
    """Every function of ours: not read before a test asks, for each worker collects these tests."""
    return [
        node
        for path in PACKAGE.rglob("*.py")
        if path.name != "_queries.py" and "_tools" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
    ]


@cache
def names_in(node: ast.AST) -> set[str]:
    return {
        each.id if isinstance(each, ast.Name) else each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Name | ast.Attribute)
    }


def read_of(row_class: str, statements: set[str]) -> set[str]:
    """The attributes read where such a row may be: in functions that call a statement, name its class, or call one of these."""
    holders = [each for each in callers() if names_in(each) & {row_class, *statements}]
    givers = {each.name for each in holders if each.returns is not None and row_class in names_in(each.returns)}
    holders += [each for each in callers() if names_in(each) & givers]
    return {
        node.attr
        for each in holders
        for node in ast.walk(each)
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }


ROWS = sorted({query.row_class for query in (*STORE.values(), *GUARDS.values()) if query.row_class is not None})
KEPT = {
    "InsertedRow": {"lock_timeout"}  # puts a caller's own back, by being computed
}


@pytest.mark.parametrize("row_class", ROWS)
def test_every_column_of_a_row_is_read_by_somebody(row_class: str) -> None:
    statements = {query.name for query in (*STORE.values(), *GUARDS.values()) if query.row_class == row_class}
    struct: type[msgspec.Struct] = getattr(of_store, row_class, None) or getattr(of_guard, row_class)
    fields = {field.name for field in msgspec.structs.fields(struct)}
    assert fields - read_of(row_class, statements) == KEPT.get(row_class, set())


@pytest.mark.parametrize("name", [query.name for query in STORE.values() if query.cardinality == ":execrows"])
def test_every_count_of_rows_is_read_by_somebody(name: str) -> None:
    dropped = [
        ast.unparse(each)
        for caller in callers()
        for each in ast.walk(caller)
        if isinstance(each, ast.Expr) and re.search(rf"queries\.{name}\(", ast.unparse(each))
    ]
    assert dropped == []


# Twins: a statement for a batch, and one for a single saga, which pays for no arrays.


def plain(node: Any, query: Query) -> str:  # Any: a node of pglast's syntax tree
    """An expression as text, in which what a caller gives is called alike whether it comes alone or in an array."""
    text = RawStream()(node)
    text = re.sub(r"\$(\d+)", lambda found: query.parameters[int(found[1]) - 1].removeprefix("j_"), text)
    text = re.sub(r"OPERATOR\(pg_catalog\.([^)]*)\)", r"\1", text)
    text = re.sub(r"\b[eginojpw]\.(\w+)", r"\1", text)
    for _ in range(2):
        text = re.sub(r"CAST\(([^()]*) AS [^()]*\)", r"\1", text)
    # In an array NULL stands for what is usual, or for what is first.
    return re.sub(r"COALESCE\((\w+), (?:[^()]*|\(\w+\)\[1\])\)", r"\1", text)


def part_of(query: Query, name: str) -> Any:  # Any: a node of pglast's syntax tree
    (tree,) = parsed(query.path, query.sql)
    return next(cte.ctequery for cte in tree.stmt.withClause.ctes if cte.ctename == name)


def inserted(query: Query, name: str) -> dict[str, str]:
    """What each column of a row is made of."""
    node = part_of(query, name)
    values = [plain(target.val, query) for target in node.selectStmt.targetList]
    return dict(zip([column.name for column in node.cols], values, strict=True))


def conditions(query: Query) -> set[str]:
    return {plain(each, query) for each in part_of(query, "written").whereClause.args}


def test_one_saga_is_committed_as_many_are() -> None:
    one, many = STORE["commit_saga"], STORE["commit_sagas"]
    sets = [
        {target.name: plain(target.val, query) for target in part_of(query, "written").targetList}
        for query in (one, many)
    ]
    assert sets[0] == sets[1]
    journals = [inserted(query, "journal") for query in (one, many)]
    assert [journal.pop("seq") for journal in journals] == ["next_rev", "rev + 1"]
    assert [journal.pop("saga_id") for journal in journals] == ["id", "saga_id"]
    assert journals[0] == journals[1]


def test_one_saga_is_fenced_as_many_are() -> None:
    one, many = conditions(STORE["commit_saga"]), conditions(STORE["commit_sagas"])
    assert one - many == set()
    led_by_ids, skip_locked = sorted(many - one)
    assert led_by_ids.startswith("NOT skip_locked OR ") or skip_locked.startswith("NOT skip_locked OR ")
    assert {led_by_ids, skip_locked} & {"s.id = ANY(ARRAY(SELECT each.id FROM pg_catalog.unnest(ids) AS each (id)))"}


@pytest.mark.parametrize("part", ["inserted", "journal"])
def test_one_saga_is_started_as_many_are(part: str) -> None:
    assert inserted(STORE["insert_saga"], part) == inserted(STORE["insert_sagas"], part)


def test_one_saga_is_put_into_the_era_that_many_are_put_into() -> None:
    one, many = (plain(part_of(STORE[name], "lock_timeout"), STORE[name]) for name in ("insert_saga", "insert_sagas"))
    assert one == many


def test_twins_give_rows_of_one_class() -> None:
    for one, many in (("commit_saga", "commit_sagas"), ("insert_saga", "insert_sagas")):
        assert STORE[one].row_class == STORE[many].row_class
