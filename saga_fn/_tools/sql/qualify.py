"""Names the schema of every function, operator, type and collation of a statement, so that no other can take its place.

PostgreSQL looks unqualified names up by the session's `search_path`. A role that may create objects in a schema of that path
can define a function or an operator that fits better than PostgreSQL's own, and it runs with the rights of the session
(CVE-2018-1058). The files in sql/ stay readable; the generated text says `pg_catalog.now()` and `OPERATOR(pg_catalog.=)`.

`OPERATOR(...)` binds otherwise than some operators do. The result is therefore parsed again, and has to be the same tree.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import pglast
from pglast.ast import Node
from pglast.enums import A_Expr_Kind, SubLinkType
from pglast.visitors import Visitor

from saga_fn._tools.sql.scan_error import SqlFileError
from saga_fn.store.schema_name import SCHEMA_MARKER

CATALOG: Final = "pg_catalog"
STAND_IN: Final = "schema"
_STAND_IN: Final = f'"{STAND_IN}"'
"""A text of the same length as the marker, so that places in the one text are places in the other."""
_SPELLABLE: Final = frozenset({A_Expr_Kind.AEXPR_OP, A_Expr_Kind.AEXPR_OP_ANY, A_Expr_Kind.AEXPR_OP_ALL})
_INSTEAD: Final = {
    A_Expr_Kind.AEXPR_IN: ("IN (...)", "= ANY(ARRAY[...])"),
    A_Expr_Kind.AEXPR_DISTINCT: ("IS DISTINCT FROM", "(a <> b OR (a IS NULL) <> (b IS NULL))"),
    A_Expr_Kind.AEXPR_NOT_DISTINCT: ("IS NOT DISTINCT FROM", "(a = b OR (a IS NULL AND b IS NULL))"),
    A_Expr_Kind.AEXPR_NULLIF: ("NULLIF", "CASE WHEN a <> b THEN a END"),
}


class _Places(Visitor):
    """Where a name has to be qualified, and which forms name an operator that cannot be qualified."""

    def __init__(self) -> None:
        super().__init__()
        self.prefixes: list[int] = []
        self.operators: list[tuple[int, str]] = []
        self.refused: list[tuple[str, str]] = []

    # Any throughout: nodes of pglast's syntax tree, which has no types.

    def visit_FuncCall(self, ancestors: Any, node: Any) -> None:
        if len(node.funcname) == 1 and not _is_unnest_of_many(ancestors, node):
            self.prefixes.append(node.location)

    def visit_TypeName(self, _: Any, node: Any) -> None:
        if node.names is not None and len(node.names) == 1:
            self.prefixes.append(node.location)

    def visit_CollateClause(self, _: Any, node: Any) -> None:
        if len(node.collname) == 1:
            self.refused.append(("an unqualified collation", f'COLLATE {CATALOG}."{node.collname[0].sval}"'))

    def visit_A_Expr(self, _: Any, node: Any) -> None:
        if node.kind in _SPELLABLE:
            if len(node.name) == 1:
                self.operators.append((node.location, node.name[0].sval))
        else:
            self.refused.append(_INSTEAD.get(node.kind, (node.kind.name.removeprefix("AEXPR_"), "plain operators")))

    def visit_SubLink(self, _: Any, node: Any) -> None:
        if node.operName is None and node.subLinkType == SubLinkType.ANY_SUBLINK:
            self.refused.append(("IN (SELECT ...)", "= ANY (SELECT ...)"))
        elif node.operName is not None and len(node.operName) == 1:
            self.operators.append((node.location, node.operName[0].sval))

    def visit_CaseExpr(self, _: Any, node: Any) -> None:
        if node.arg is not None:
            self.refused.append(("CASE x WHEN ...", "CASE WHEN x = ..."))

    def visit_JoinExpr(self, _: Any, node: Any) -> None:
        if node.isNatural or node.usingClause:
            self.refused.append(("JOIN USING and NATURAL JOIN", "JOIN ... ON"))

    def visit_SortBy(self, _: Any, node: Any) -> None:
        if node.useOp:
            self.refused.append(("ORDER BY ... USING", "ASC or DESC"))

    def visit_IndexElem(self, _: Any, node: Any) -> None:
        for names, what in ((node.opclass, "operator class"), (node.collation, "collation")):
            if names is not None and len(names) == 1:
                self.refused.append((f"an unqualified {what}", f"{CATALOG}.{names[0].sval}"))


@cache
def qualified(path: Path, sql: str) -> str:
    """The statement with every name qualified. Raises SqlFileError where the form of an expression allows none.

    A statement is parsed once in a process: several tools, and many tests, read all of them.

    Args:
        path: The file that the statement stands in, for messages.
        sql: One statement, with `$n` for parameters and the marker for the schema.
    """
    if not sql.isascii():
        raise SqlFileError(f"{path}: has a character that is not ASCII outside of comments.\nHINT: leave it out.")
    tree = parsed(path, sql)
    places = _Places()
    places(tree)
    for form, instead in places.refused:
        raise SqlFileError(
            f"{path}: {form} is looked up by search_path, and cannot be qualified.\nHINT: write {instead}."
        )
    text = sql
    edits = [(place, "", f"{CATALOG}.") for place in places.prefixes]
    edits += [(place, name, f"OPERATOR({CATALOG}.{name})") for place, name in places.operators]
    for place, old, new in sorted(edits, reverse=True):
        if not text.startswith(old, place):
            raise SqlFileError(
                f"{path}: {old} was not found where it should be.\nHINT: this is a fault of the generator."
            )
        text = text[:place] + new + text[place + len(old) :]
    if _shape(tree) != _shape(parsed(path, text)):
        raise SqlFileError(
            f"{path}: an expression means something else when its operators are qualified, for OPERATOR(...) binds more"
            f" tightly than comparisons and less than arithmetic: {_nested(tree, sql)}.\n"
            "HINT: put parentheses around each operand that has an operator of its own."
        )
    return text


def unqualified(sql: str) -> list[str]:
    """The names and forms of a statement that PostgreSQL would look up by search_path."""
    places = _Places()
    places(pglast.parse_sql(sql.replace(SCHEMA_MARKER, _STAND_IN)))
    names = [sql[place:].split("(", maxsplit=1)[0].split(maxsplit=1)[0] for place in places.prefixes]
    return [*names, *(operator for _, operator in places.operators), *(form for form, _ in places.refused)]


def parsed(path: Path, sql: str) -> Any:  # Any: pglast's syntax tree
    """The tree of a statement with the schema's marker, in which the schema is called `STAND_IN`. Raises SqlFileError."""
    try:
        return pglast.parse_sql(sql.replace(SCHEMA_MARKER, _STAND_IN))
    except pglast.parser.ParseError as refusal:
        raise SqlFileError(f"{path}: PostgreSQL refuses it: {refusal.args[0]}.\nHINT: mend its syntax.") from refusal


def _is_unnest_of_many(ancestors: Any, node: Any) -> bool:  # Any: as above
    """FROM unnest(a, b), which PostgreSQL itself makes pg_catalog.unnest of, and only if it is not qualified."""
    within = ancestors
    while within is not None and type(within.node).__name__ == "tuple":
        within = within.parent
    return (
        within is not None
        and type(within.node).__name__ == "RangeFunction"
        and node.funcname[-1].sval == "unnest"
        and len(node.args or ()) > 1
    )


def _shape(node: Any) -> object:  # Any: as above
    """The tree without places, and without the schema that has been added."""
    if isinstance(node, tuple):
        parts = [_shape(each) for each in cast("tuple[object, ...]", node)]  # what a check of its class leaves unknown
        return tuple(parts[1:] if len(parts) > 1 and parts[0] == ("String", (("sval", CATALOG),)) else parts)
    if isinstance(node, Node):
        fields = [(name, getattr(node, name)) for name in node]
        kept = [
            (name, _shape(value)) for name, value in fields if not name.endswith(("location", "_len", "_start", "_end"))
        ]
        return (type(node).__name__, tuple(kept))
    return node


def _nested(tree: Any, sql: str) -> str:  # Any: as above
    """Where the first operator stands that has an operand with an operator of its own."""
    found: list[int] = []

    class Nested(Visitor):
        def visit_A_Expr(self, ancestors: Any, node: Any) -> None:
            if type(ancestors.node).__name__ == "A_Expr":
                found.append(ancestors.node.location)

    Nested()(tree)
    return repr(" ".join(sql[max(0, min(found) - 30) : min(found) + 30].split())) if found else "see its operators"
