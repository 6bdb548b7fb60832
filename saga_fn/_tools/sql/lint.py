"""Holds every statement to the rules that let the store run behind a pooler and on a sharded server.

`python -m saga_fn._tools.sql lint` parses each file of `sql/` with PostgreSQL's own
grammar and refuses what breaks a rule. An exception is a comment in the file: `-- lint: <what>, because <reason>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pglast
from pglast.stream import RawStream
from pglast.visitors import Visitor

from saga_fn._tools.sql.lint_headers import lint_header, lint_width
from saga_fn._tools.sql.lint_locks import unbounded
from saga_fn._tools.sql.qualify import unqualified
from saga_fn._tools.sql.scan import MigrationSource, read_all_of, read_migrations
from saga_fn.store.schema_name import SCHEMA_MARKER

# One answer a statement, and no trace in the session; whatever is not listed is taken for volatile.
_STEADY: Final = frozenset(
    {
        "array_agg",
        "cardinality",
        "count",
        "current_database",
        "current_setting",
        "extract",
        "floor",
        "format",
        "generate_series",
        "has_column_privilege",
        "has_table_privilege",
        "max",
        "min",
        "now",
        "octet_length",
        "pg_backend_pid",
        "pg_is_in_recovery",
        "pg_partition_tree",
        "pg_total_relation_size",
        "regexp_replace",
        "row_number",
        "statement_timestamp",
        "sum",
        "to_regclass",
        "unnest",
    }
)
_UNSHARDED: Final = frozenset({"journal_era", "migration", "saga_guard", "setting"})
_EXEMPT: Final = re.compile(r"(waits|listens|one row a store), because \S.*")
_QUERIES: Final = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"})
_MIGRATIONS: Final = frozenset({"CreateSchemaStmt", "CreateStmt", "IndexStmt", "AlterTableStmt", "DropStmt"})
_LISTENS: Final = frozenset({"ListenStmt", "UnlistenStmt", "NotifyStmt"})
_SCHEMAS: Final = frozenset({None, "saga_fn", "pg_catalog"})  # None is refused by a rule of its own


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
        if node.schemaname not in _SCHEMAS:
            self.refuse("no tables of others", "a store reads and writes its own schema")
        if node.relpersistence == "t":
            self.refuse("no temporary tables", "use a CTE")
        if node.relpersistence == "u":
            self.refuse("no unlogged tables", "a crash of the server empties it: leave UNLOGGED out")

    def visit_ColumnRef(self, _: Any, node: Any) -> None:
        if any(_is(field, "A_Star") for field in node.fields):
            self.refuse("no SELECT *", "list the columns")

    def visit_FuncCall(self, _: Any, node: Any) -> None:
        called = node.funcname[-1].sval
        if "advisory" in called:
            self.refuse("no advisory locks", "lock a row")
        if called == "pg_notify" and not self.name.startswith("notify_"):
            self.refuse("pg_notify only in notify_*", "nothing may depend on it: send it apart")
        if called == "set_config" and _is(node.args[2], "A_Const") and node.args[2].val.boolval:
            return  # for this transaction only, which is this statement
        if called not in _STEADY | {"pg_notify"}:
            self.refuse("no volatile functions", f"pass what {called}() would give, or list it in _STEADY if it is not")

    def visit_SelectStmt(self, _: Any, node: Any) -> None:
        self._lookups(node)
        if not node.lockingClause:
            return
        for table in _tables(node.fromClause):
            if not _given(node.whereClause, table, "shard"):
                self.refuse("what locks names its shard", "add s.shard = :shard::smallint")
            if not node.sortClause and not _given(node.whereClause, table, "id", "saga_id"):
                self.refuse("rows are locked in one order", "add ORDER BY, so that two batches cannot block each other")

    def visit_UpdateStmt(self, _: Any, node: Any) -> None:
        self._lookups(node)
        self._mutation(node.relation.relname)
        if not _given(node.whereClause, node.relation, "shard"):
            self.refuse("what updates names its shard", "add s.shard = :shard::smallint")
        self._named_rows(node)

    def visit_DeleteStmt(self, _: Any, node: Any) -> None:
        self._lookups(node)
        self._mutation(node.relation.relname)
        if not _given(node.whereClause, node.relation, "shard"):
            self.refuse("what deletes names its shard", "add s.shard = :shard::smallint")
        self._named_rows(node)

    def visit_InsertStmt(self, _: Any, node: Any) -> None:
        self._mutation(node.relation.relname)
        if node.relation.relname not in _UNSHARDED and "shard" not in [column.name for column in node.cols or ()]:
            self.refuse("what inserts names its shard", "add shard to the columns")

    def _named_rows(self, node: Any) -> None:
        where, table = node.whereClause, node.relation
        if not _given(where, table, "id", "saga_id") and not _any_of(where, table, "id", "saga_id", "ctid"):
            self.refuse("a batch names its ids", "add s.id = ANY(:ids::uuid[])")

    def _lookups(self, node: Any) -> None:
        """A semijoin with a CTE, whose size the planner cannot know, may become a loop over all of it for each row."""
        for each in _conjuncts(node.whereClause):
            if _is(each, "SubLink") and each.subLinkType.name == "ANY_SUBLINK":
                sources = each.subselect.fromClause or ()
                if any(_is(source, "RangeVar") and source.schemaname is None for source in sources):
                    self.refuse("a lookup in a CTE is no join", "write (x = ANY (SELECT ...)) IS TRUE")

    def _mutation(self, table: str) -> None:
        if table in self.mutated:
            self.refuse("one mutation of a table a statement", f"write {table} once")
        self.mutated.append(table)

    def visit_CreateStmt(self, _: Any, node: Any) -> None:
        for element in node.tableElts or ():
            if _is(element, "ColumnDef") and element.typeName.names[-1].sval.endswith("serial"):
                self.refuse("no sequences", "ids come from the client")
        constraints = [each for each in node.tableElts or () if _is(each, "Constraint")]
        constraints += [each for column in node.tableElts or () for each in getattr(column, "constraints", None) or ()]
        if all(each.contype.name != "CONSTR_PRIMARY" for each in constraints):
            self.refuse("every table has a primary key", "add PRIMARY KEY (shard, ...)")

        self._times(node)

    def _times(self, node: Any) -> None:
        """A moment that a client cannot read would keep a whole answer from it."""
        columns = [each for each in node.tableElts or () if _is(each, "ColumnDef")]
        checked = [
            RawStream()(each.raw_expr)
            for each in node.tableElts or ()
            if _is(each, "Constraint")
            and each.contype.name == "CONSTR_CHECK"
            and "10000-01-01" in RawStream()(each.raw_expr)
        ]
        for column in columns if node.relation.relname not in _UNSHARDED else ():
            if column.typeName.names[-1].sval == "timestamptz" and not any(
                re.search(rf"\b{column.colname}\b", each) for each in checked
            ):
                self.refuse("every moment can be read", f"CHECK that {column.colname} is of the years 1 to 9999")

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


def lint_statement(
    sql: str,
    *,
    name: str = "statement",
    exempt: frozenset[str] = frozenset(),
    kinds: frozenset[str] = _QUERIES | _MIGRATIONS,
) -> list[tuple[str, str]]:
    """The rules one statement breaks, each with its mend; parameters are `$1`, the schema is `saga_fn`.

    >>> lint_statement("SELECT * FROM saga_fn.saga AS s")
    [('no SELECT *', 'list the columns')]
    """
    rules = _Rules(name, exempt)
    parsed = pglast.parse_sql(sql)
    rules(parsed)
    for raw in parsed:
        kind = type(raw.stmt).__name__
        if kind in _LISTENS and "listens" not in exempt:
            rules.refuse("nothing depends on LISTEN", "find it by a scan, or -- lint: listens, because ...")
        elif kind not in kinds | _LISTENS:
            rules.refuse("only plain statements", f"{kind} has no place here")
        for table in unbounded(raw.stmt) if kind in _QUERIES and "waits" not in exempt else ():
            mend = f"let what locks {table} read a materialized CTE that sets lock_timeout, or add SKIP LOCKED, or"
            rules.refuse("no lock is waited for without a bound", f"{mend} -- lint: waits, because ...")
    for table in rules.unqualified:
        if table not in rules.ctes:
            rules.refuse("every table is qualified", f"write saga_fn.{table}")
    return list(dict.fromkeys(rules.broken))


def lint_folder(root: Path) -> Iterator[str]:
    """A line for each rule that a file below `root` breaks."""
    for path in sorted(root.glob("**/queries/*.sql")):
        exempt, broken = _exemptions(path)
        broken += lint_width(path.read_text(encoding="utf-8"))
        for query in read_all_of(path):
            sql = query.sql.replace(SCHEMA_MARKER, "saga_fn")
            broken += lint_statement(sql, name=query.name, exempt=exempt, kinds=_QUERIES) + lint_names(sql)
            broken += lint_header(query, pglast.parse_sql(sql)[0].stmt, exempt)
        for rule, mend in dict.fromkeys(broken):
            yield f"{path.relative_to(root.parent)}: {rule}.\nHINT: {mend}."
    for folder, migration in _all_migrations(root):
        path = folder / f"{migration.number:04d}_{migration.name}.sql"
        statements = [statement.replace(SCHEMA_MARKER, "saga_fn") for statement in migration.statements]
        _, broken = _exemptions(path)
        broken += lint_width(path.read_text(encoding="utf-8"))
        for statement in statements:
            broken += lint_statement(statement, name=migration.name, kinds=_MIGRATIONS) + lint_names(statement)
        broken += lint_online(statements, concurrently=migration.concurrently)
        for rule, mend in broken:
            yield f"{path.relative_to(root.parent)}: {rule}.\nHINT: {mend}."


def lint_names(sql: str) -> list[tuple[str, str]]:
    """The names in a generated statement that would be looked up by search_path: the generator has to have qualified everything.

    >>> lint_names("SELECT pg_catalog.now() OPERATOR(pg_catalog.=) now()")
    [('nothing is looked up by search_path', 'qualify now')]
    """
    return [("nothing is looked up by search_path", f"qualify {name}") for name in unqualified(sql)]


def _all_migrations(root: Path) -> Iterator[tuple[Path, MigrationSource]]:
    for folder in sorted(root.glob("**/schema")):
        for migration in read_migrations(folder):
            yield folder, migration


def lint_online(statements: list[str], *, concurrently: bool) -> list[tuple[str, str]]:
    """The harm that one migration would do to tables in use: an index on a table it does not make itself blocks every write."""
    parsed: list[Any] = [pglast.parse_sql(statement)[0].stmt for statement in statements]  # Any: as above
    made = {each.relation.relname for each in parsed if _is(each, "CreateStmt")}
    broken: list[tuple[str, str]] = []
    for each in parsed:
        again = (_is(each, "IndexStmt") and each.if_not_exists) or (_is(each, "DropStmt") and each.missing_ok)
        if concurrently and not (again and each.concurrent):
            mend = "only CREATE INDEX CONCURRENTLY IF NOT EXISTS and DROP INDEX CONCURRENTLY IF EXISTS can be repeated"
            broken.append(("what runs concurrently can be repeated", mend))
        if not concurrently and _is(each, "IndexStmt") and (each.concurrent or each.relation.relname not in made):
            mend = "CREATE INDEX CONCURRENTLY, in a migration of its own marked --! concurrently"
            broken.append(("an index is built beside the traffic", mend))
    return broken


def _exemptions(path: Path) -> tuple[frozenset[str], list[tuple[str, str]]]:
    """The rules that a file's `lint:` comments exempt it from, and those that are spelled wrongly."""
    asked = re.findall(r"^--\s*lint:\s*(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    wrong = [f"{each!r} exempts from nothing" for each in asked if not _EXEMPT.fullmatch(each)]
    mend = "write -- lint: waits, because ... (or listens, or one row a store)"
    return frozenset(match[1] for each in asked if (match := _EXEMPT.fullmatch(each))), [(each, mend) for each in wrong]


def _given(where: Any, table: Any, *columns: str) -> bool:  # Any: nodes of the syntax tree
    """Whether a column of this very table must equal what the client gives."""
    for each in _conjuncts(where):
        if _is(each, "A_Expr") and each.kind.name == "AEXPR_OP" and each.name[-1].sval == "=":
            for column, value in ((each.lexpr, each.rexpr), (each.rexpr, each.lexpr)):
                if _is_column(column, table, columns) and _is_parameter(value):
                    return True
    return False


def _any_of(where: Any, table: Any, *columns: str) -> bool:  # Any: nodes of the syntax tree
    """Whether a column of this very table must be among an array's elements."""
    return any(
        _is(each, "A_Expr") and each.kind.name == "AEXPR_OP_ANY" and _is_column(each.lexpr, table, columns)
        for each in _conjuncts(where)
    )


def _tables(sources: Any) -> Iterator[Any]:  # Any: nodes of the syntax tree
    """The store's tables of a FROM clause, joined or not."""
    for source in sources or ():
        if _is(source, "RangeVar") and source.schemaname is not None:
            yield source
        elif _is(source, "JoinExpr"):
            yield from _tables((source.larg, source.rarg))


def _conjuncts(where: Any) -> Iterator[Any]:  # Any: a node of the syntax tree
    if _is(where, "BoolExpr") and where.boolop.name == "AND_EXPR":
        for argument in where.args:
            yield from _conjuncts(argument)
    elif where is not None:
        yield where


def _is_column(node: Any, table: Any, columns: tuple[str, ...]) -> bool:  # Any: nodes of the syntax tree
    if not _is(node, "ColumnRef") or any(not _is(field, "String") for field in node.fields):
        return False
    names = [field.sval for field in node.fields]
    return names[-1] in columns and names[:-1] == [table.alias.aliasname if table.alias else table.relname]


def _is_parameter(node: Any) -> bool:  # Any: a node of the syntax tree
    return _is_parameter(node.arg) if _is(node, "TypeCast") else _is(node, "ParamRef")


def _is(node: Any, kind: str) -> bool:  # Any: a node of the syntax tree, whose declared types are all optional
    return type(node).__name__ == kind


def _table_of(ancestors: Any) -> str | None:  # Any: pglast's path from the root
    found = ancestors
    while found is not None:
        if _is(found.node, "CreateStmt"):
            return str(found.node.relation.relname)
        found = found.parent
    return None
