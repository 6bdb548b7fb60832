"""The linter's rule about locks: no statement waits for one without a bound.

A bound is a materialized CTE that sets `lock_timeout` for the transaction, and that the mutation reads, so that it runs
first. Rows that the statement itself has locked with SKIP LOCKED need none. A table's own lock is taken before a statement
begins to run: there the time limit of the whole statement is the bound, which the store sets for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pglast.enums import CTEMaterialize, LockWaitPolicy
from pglast.visitors import Visitor

_MUTATIONS: Final = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt"})


class _Found(Visitor):
    """The tables a node reads, the tables it locks and skips, and whether it sets `lock_timeout`."""

    def __init__(self) -> None:
        super().__init__()
        self.unqualified: set[str] = set()
        self.skipped: set[str] = set()
        self.bounds = False

    # Any: nodes of pglast's syntax tree, which has no types.

    def visit_RangeVar(self, _: Any, node: Any) -> None:
        if node.schemaname is None:
            self.unqualified.add(node.relname)

    def visit_FuncCall(self, _: Any, node: Any) -> None:
        if node.funcname[-1].sval == "set_config" and getattr(node.args[0], "val", None) is not None:
            self.bounds |= getattr(node.args[0].val, "sval", None) == "lock_timeout"

    def visit_SelectStmt(self, _: Any, node: Any) -> None:
        if any(clause.waitPolicy == LockWaitPolicy.LockWaitSkip for clause in node.lockingClause or ()):
            self.skipped |= {table.relname for table in _plain(node.fromClause)}


def unbounded(statement: Any) -> list[str]:  # Any: a node of pglast's syntax tree
    """The tables of which one statement may wait for a row without a bound.

    A table is listed once for each mutation, or locking read, that neither reads a CTE that sets `lock_timeout` nor has
    its rows locked by the same statement with SKIP LOCKED.
    """
    clause = getattr(statement, "withClause", None)
    ctes = [] if clause is None else list(clause.ctes)
    skipped = _found(statement).skipped
    bounded: set[str] = set()
    broken: list[str] = []
    for cte in ctes:
        found = _found(cte.ctequery)
        fence = cte.ctematerialized == CTEMaterialize.CTEMaterializeAlways
        if (found.bounds and fence) or found.unqualified & bounded:
            bounded.add(cte.ctename)
        broken += _waiting(cte.ctequery, found, bounded, skipped)
    sources = _found_without_ctes(statement)
    broken += _waiting(statement, sources, bounded, skipped)
    return broken


def _waiting(node: Any, found: _Found, bounded: set[str], skipped: set[str]) -> Iterator[str]:  # Any: as above
    if found.unqualified & bounded:
        return
    kind = type(node).__name__
    if kind in _MUTATIONS and (kind == "InsertStmt" or node.relation.relname not in skipped):
        yield node.relation.relname
    for clause in getattr(node, "lockingClause", None) or ():
        if clause.waitPolicy != LockWaitPolicy.LockWaitSkip:
            yield from (table.relname for table in _plain(node.fromClause))


def _found(node: Any) -> _Found:  # Any: as above
    found = _Found()
    found(node)
    return found


def _found_without_ctes(statement: Any) -> _Found:  # Any: as above
    """The tables that the statement itself reads, beside its CTEs."""
    clause, statement.withClause = statement.withClause, None
    try:
        return _found(statement)
    finally:
        statement.withClause = clause


def _plain(sources: Any) -> Iterator[Any]:  # Any: as above
    for source in sources or ():
        if type(source).__name__ == "RangeVar" and source.schemaname is not None:
            yield source
        elif type(source).__name__ == "JoinExpr":
            yield from _plain((source.larg, source.rarg))
