"""The generated bindings and the code that calls them: nothing is selected that nobody reads, and twins do not differ."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import msgspec
import pytest

from saga_fn._tools.sql.generate import GUARD, QUERIES
from saga_fn._tools.sql.scan import read_queries
from saga_fn.guard import _queries as of_guard
from saga_fn.store import _queries as of_store

PACKAGE = Path(of_store.__file__).parents[1]
STORE = {query.name: query for query in read_queries(QUERIES)}
GUARDS = {query.name: query for query in read_queries(GUARD / "queries")}
CALLERS = [
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
    holders = [each for each in CALLERS if names_in(each) & {row_class, *statements}]
    givers = {each.name for each in holders if each.returns is not None and row_class in names_in(each.returns)}
    holders += [each for each in CALLERS if names_in(each) & givers]
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
        for caller in CALLERS
        for each in ast.walk(caller)
        if isinstance(each, ast.Expr) and re.search(rf"queries\.{name}\(", ast.unparse(each))
    ]
    assert dropped == []
