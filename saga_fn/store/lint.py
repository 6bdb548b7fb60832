"""Holds every statement to the rules that let the store run behind a pooler and on a sharded server.

A development tool (`python -m saga_fn.store.lint`, extra `dev`): it parses each file of `sql/` with PostgreSQL's own
grammar and refuses what breaks a rule. An exception is a comment in the file: `-- lint: <what>, because <reason>`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pglast
from pglast.enums import LockWaitPolicy
from pglast.visitors import Visitor

from saga_fn.store.codegen.scan import read_migrations, read_query
from saga_fn.store.schema_name import SCHEMA_MARKER

_ROOT: Final = Path(__file__).parents[2] / "sql"
_VOLATILE: Final = frozenset({"clock_timestamp", "random", "gen_random_uuid", "nextval", "setval", "timeofday"})
_UNSHARDED: Final = frozenset({"migration", "setting"})
_EXEMPT: Final = re.compile(r"^--\s*lint:\s*(waits|one row a store), because \S", re.MULTILINE)


class _Rules(Visitor):
    """Walks one statement and collects what it breaks: (rule, mend)."""

    def __init__(self, name: str, exempt: frozenset[str]) -> None:
        super().__init__()
        self.name = name
        self.exempt = exempt
        self.broken: list[tuple[str, str]] = []
        self.ctes: set[str] = set()
        self.mutated: list[str] = []
        self.unqualified: list[str] = []

    def refuse(self, rule: str, mend: str) -> None:
        """Note a broken rule."""
        self.broken.append((rule, mend))

    # Any throughout: nodes of pglast's syntax tree, which has no types.

    def visit_CommonTableExpr(self, _: Any, node: Any) -> None:
        self.ctes.add(node.ctename)

    def visit_RangeVar(self, _: Any, node: Any) -> None:
        if node.schemaname is None:
            self.unqualified.append(node.relname)
        if node.relpersistence == "t":
            self.refuse("no temporary tables", "use a CTE")

    def visit_ColumnRef(self, _: Any, node: Any) -> None:
        if any(_is(field, "A_Star") for field in node.fields):
            self.refuse("no SELECT *", "list the columns")

    def visit_FuncCall(self, _: Any, node: Any) -> None:
        called = node.funcname[-1].sval
        if "advisory" in called:
            self.refuse("no advisory locks", "lock a row")
        if called == "pg_notify" and not self.name.startswith("notify_"):
            self.refuse("pg_notify only in notify_*", "nothing may depend on it: send it apart")
        if called in _VOLATILE:
            self.refuse("no volatile functions", f"pass what {called}() would give as a parameter")

    def visit_LockingClause(self, _: Any, node: Any) -> None:
        if node.waitPolicy != LockWaitPolicy.LockWaitSkip and "waits" not in self.exempt:
            self.refuse("locks are skipped, not waited for", "add SKIP LOCKED, or -- lint: waits, because ...")

    def visit_SelectStmt(self, _: Any, node: Any) -> None:
        if node.lockingClause and not _has_shard(node.whereClause):
            self.refuse("what locks names its shard", "add s.shard = :shard::smallint")

    def visit_UpdateStmt(self, _: Any, node: Any) -> None:
        self._mutation(node.relation.relname)
        if not _has_shard(node.whereClause):
            self.refuse("what updates names its shard", "add s.shard = :shard::smallint")
        if node.fromClause and not _has_id(node.whereClause):
            self.refuse("a batch names its ids", "add s.id = ANY(:ids::uuid[])")

    def visit_DeleteStmt(self, _: Any, node: Any) -> None:
        self._mutation(node.relation.relname)
        if not _has_shard(node.whereClause):
            self.refuse("what deletes names its shard", "add s.shard = :shard::smallint")

    def visit_InsertStmt(self, _: Any, node: Any) -> None:
        self._mutation(node.relation.relname)

    def _mutation(self, table: str) -> None:
        if table in self.mutated:
            self.refuse("one mutation of a table a statement", f"write {table} once")
        self.mutated.append(table)

    def visit_CreateStmt(self, _: Any, node: Any) -> None:
        for element in node.tableElts or ():
            if _is(element, "ColumnDef") and element.typeName.names[-1].sval.endswith("serial"):
                self.refuse("no sequences", "ids come from the client")

    def visit_Constraint(self, ancestors: Any, node: Any) -> None:
        kind = node.contype.name
        if kind == "CONSTR_FOREIGN":
            self.refuse("no foreign keys", "keep what belongs together in one shard")
        if kind == "CONSTR_IDENTITY":
            self.refuse("no sequences", "ids come from the client")
        if kind in ("CONSTR_PRIMARY", "CONSTR_UNIQUE"):
            first = node.keys[0].sval if node.keys else None
            table = _table_of(ancestors)
            if first != "shard" and table not in _UNSHARDED:
                self.refuse("shard leads every key", f"begin the key of {table} with shard")

    def visit_IndexStmt(self, _: Any, node: Any) -> None:
        if node.indexParams[0].name != "shard":
            self.refuse("shard leads every index", f"begin {node.idxname} with shard")

    def visit_CreateTrigStmt(self, _: Any, node: Any) -> None:
        self.refuse("no triggers", "let the statement do it")

    def visit_CreateFunctionStmt(self, _: Any, node: Any) -> None:
        self.refuse("no functions", "decisions belong to the core")

    def visit_DoStmt(self, _: Any, node: Any) -> None:
        self.refuse("no functions", "decisions belong to the core")

    def visit_CreateSeqStmt(self, _: Any, node: Any) -> None:
        self.refuse("no sequences", "ids come from the client")

    def visit_TransactionStmt(self, _: Any, node: Any) -> None:
        self.refuse("no transaction control", "the caller begins and commits")


def lint_statement(sql: str, *, name: str = "statement", exempt: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """The rules one statement breaks, each with its mend; parameters are `$1`, the schema is `saga_fn`.

    >>> lint_statement("SELECT * FROM saga_fn.saga AS s")
    [('no SELECT *', 'list the columns')]
    """
    rules = _Rules(name, exempt)
    rules(pglast.parse_sql(sql))
    for table in rules.unqualified:
        if table not in rules.ctes:
            rules.refuse("every table is qualified", f"write saga_fn.{table}")
    return list(dict.fromkeys(rules.broken))


def lint_folder(root: Path) -> Iterator[str]:
    """A line for each rule that a file below `root` breaks."""
    for path in sorted((root / "queries").glob("*.sql")):
        query = read_query(path)
        exempt = frozenset(match[1] for match in _EXEMPT.finditer(path.read_text(encoding="utf-8")))
        sql = query.sql.replace(SCHEMA_MARKER, "saga_fn")
        for rule, mend in lint_statement(sql, name=query.name, exempt=exempt):
            yield f"{path.relative_to(root.parent)}: {rule}.\nHINT: {mend}."
    for migration in read_migrations(root / "schema"):
        for statement in migration.statements:
            for rule, mend in lint_statement(statement.replace(SCHEMA_MARKER, "saga_fn"), name=migration.name):
                yield f"sql/schema/{migration.number:04d}_{migration.name}.sql: {rule}.\nHINT: {mend}."


def _has_shard(where: Any) -> bool:  # Any: a node of the syntax tree
    return any(_names_column(side, "shard") for side in _equalities(where))


def _has_id(where: Any) -> bool:  # Any: a node of the syntax tree
    return any(_names_column(side, "id") or _names_column(side, "saga_id") for side in _anys(where))


def _conjuncts(where: Any) -> Iterator[Any]:  # Any: a node of the syntax tree
    if _is(where, "BoolExpr") and where.boolop.name == "AND_EXPR":
        for argument in where.args:
            yield from _conjuncts(argument)
    elif where is not None:
        yield where


def _equalities(where: Any) -> Iterator[Any]:  # Any: a node of the syntax tree
    for conjunct in _conjuncts(where):
        if _is(conjunct, "A_Expr") and conjunct.kind.name == "AEXPR_OP" and conjunct.name[0].sval == "=":
            yield conjunct.lexpr


def _anys(where: Any) -> Iterator[Any]:  # Any: a node of the syntax tree
    for conjunct in _conjuncts(where):
        if _is(conjunct, "A_Expr") and conjunct.name[0].sval == "=":
            by_parameter = conjunct.kind.name == "AEXPR_OP" and not _is(conjunct.rexpr, "ColumnRef")
            if conjunct.kind.name == "AEXPR_OP_ANY" or by_parameter:
                yield conjunct.lexpr


def _names_column(node: Any, column: str) -> bool:  # Any: a node of the syntax tree
    return _is(node, "ColumnRef") and _is(node.fields[-1], "String") and bool(node.fields[-1].sval == column)


def _is(node: Any, kind: str) -> bool:  # Any: a node of the syntax tree, whose declared types are all optional
    return type(node).__name__ == kind


def _table_of(ancestors: Any) -> str | None:  # Any: pglast's path from the root
    found = ancestors
    while found is not None:
        if _is(found.node, "CreateStmt"):
            return str(found.node.relation.relname)
        found = found.parent
    return None


def main() -> int:
    """Print what breaks a rule; gives the exit code."""
    broken = list(lint_folder(_ROOT))
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
