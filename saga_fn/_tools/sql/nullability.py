"""Which columns of a statement's result may be null, as far as its text tells; what cannot be told counts as null.

A column of the result is never null if it is a column of ours that is NOT NULL, and no outer join can leave it empty, or if
it is one of a few forms that give a value always: EXISTS, IS NULL, a constant, `now()`, `count(...)`. All else is in doubt,
and the statement's header has to say `nullable:` or `not null:`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from pglast.enums import JoinType, SubLinkType

_ALWAYS: Final = frozenset({"count", "now", "statement_timestamp"})
"""Functions that give a value whatever they are called with."""
_LEFT_EMPTY: Final = frozenset({JoinType.JOIN_RIGHT, JoinType.JOIN_FULL})
_RIGHT_EMPTY: Final = frozenset({JoinType.JOIN_LEFT, JoinType.JOIN_FULL})

# Any throughout: nodes of pglast's syntax tree, which has no types.


@attrs.frozen
class _Source:
    """The source that a name in FROM stands for: a table, a query, or something else of which nothing is known."""

    table: str | None = None
    query: Any = None
    ctes: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    """Those that the query can name."""
    columns: tuple[str, ...] = ()
    """The names its columns are given here, if they are given other ones."""
    may_be_missing: bool = False
    """Whether an outer join may leave all of it null."""


@attrs.frozen
class Nullability:
    """Judges statements by the columns that the schema lets be null.

    Args:
        schema: The schema's name in the parsed text.
        nullable: Table and name of each column that may be null.
    """

    schema: str
    nullable: frozenset[tuple[str, str]]

    def in_doubt(self, statement: Any) -> frozenset[str]:
        """The names of the result's columns that may be null, or of which nothing can be told."""
        arms = list(_arms(statement))
        names = _names(arms[0])
        return frozenset(
            name for place, name in enumerate(names) if not self._column(statement, place, {}, frozenset())
        )

    def _column(self, query: Any, place: int, outer: Mapping[str, Any], seen: frozenset[tuple[int, int]]) -> bool:
        """Whether column `place` of a query is never null; `seen` are the columns that are being judged already."""
        if (id(query), place) in seen:
            return True  # a recursive query gives what its other arm gives
        clause = getattr(query, "withClause", None)
        ctes = {**outer, **{cte.ctename: cte for cte in (clause.ctes if clause else ())}}
        within = seen | {(id(query), place)}
        return all(
            self._never_null(_targets(arm)[place].val, dict(self._sources(arm, ctes)), within) for arm in _arms(query)
        )

    def _never_null(self, node: Any, sources: Mapping[str, _Source], seen: frozenset[tuple[int, int]]) -> bool:
        match type(node).__name__:
            case "ColumnRef":
                return self._reference([field.sval for field in node.fields], sources, seen)
            case "A_Const":
                return not node.isnull
            case "NullTest":
                return True
            case "SubLink":
                return bool(node.subLinkType == SubLinkType.EXISTS_SUBLINK)
            case "FuncCall":
                return node.funcname[-1].sval in _ALWAYS
            case "TypeCast":
                return self._never_null(node.arg, sources, seen)
            case "BoolExpr":
                return all(self._never_null(each, sources, seen) for each in node.args)
            case "CoalesceExpr":
                return any(self._never_null(each, sources, seen) for each in node.args)
            case _:
                return False

    def _reference(self, names: list[str], sources: Mapping[str, _Source], seen: frozenset[tuple[int, int]]) -> bool:
        if len(names) == 1 and len(sources) != 1:
            return False
        source = next(iter(sources.values())) if len(names) == 1 else sources.get(names[0])
        if source is None or source.may_be_missing:
            return False
        if source.table is not None:
            return (source.table, names[-1]) not in self.nullable
        if source.query is None:
            return False
        columns = source.columns or tuple(_names(next(_arms(source.query))))
        return names[-1] in columns and self._column(source.query, columns.index(names[-1]), source.ctes, seen)

    def _sources(self, arm: Any, ctes: Mapping[str, Any]) -> Iterator[tuple[str, _Source]]:
        for node in (getattr(arm, "relation", None), *(_from(arm))):
            yield from self._named(node, ctes, may_be_missing=False)

    def _named(self, node: Any, ctes: Mapping[str, Any], *, may_be_missing: bool) -> Iterator[tuple[str, _Source]]:
        match type(node).__name__:
            case "RangeVar":
                name = node.alias.aliasname if node.alias else node.relname
                cte = ctes.get(node.relname) if node.schemaname is None else None
                if cte is not None:
                    columns = tuple(each.sval for each in cte.aliascolnames or ())
                    yield name, _Source(query=cte.ctequery, ctes=ctes, columns=columns, may_be_missing=may_be_missing)
                else:
                    ours = node.schemaname == self.schema
                    yield name, _Source(table=node.relname if ours else None, may_be_missing=may_be_missing)
            case "RangeSubselect":
                columns = tuple(each.sval for each in node.alias.colnames or ())
                yield (
                    node.alias.aliasname,
                    _Source(query=node.subquery, ctes=ctes, columns=columns, may_be_missing=may_be_missing),
                )
            case "RangeFunction" if node.alias:
                yield node.alias.aliasname, _Source()
            case "JoinExpr":
                left, right = node.jointype in _LEFT_EMPTY, node.jointype in _RIGHT_EMPTY
                yield from self._named(node.larg, ctes, may_be_missing=may_be_missing or left)
                yield from self._named(node.rarg, ctes, may_be_missing=may_be_missing or right)
            case _:
                return


def _arms(query: Any) -> Iterator[Any]:
    """The queries that a UNION puts together, or the one that it is."""
    if getattr(query, "larg", None) is not None:
        yield from _arms(query.larg)
        yield from _arms(query.rarg)
    else:
        yield query


def _from(arm: Any) -> tuple[Any, ...]:
    return (*(getattr(arm, "fromClause", None) or ()), *(getattr(arm, "usingClause", None) or ()))


def _targets(arm: Any) -> tuple[Any, ...]:
    """The columns that an arm gives: the list of a SELECT, or what RETURNING names."""
    if type(arm).__name__ == "SelectStmt":
        return tuple(arm.targetList or ())
    clause = getattr(arm, "returningClause", None)  # of PostgreSQL 18's grammar
    return tuple((clause.exprs if clause else getattr(arm, "returningList", None)) or ())


def _names(arm: Any) -> list[str]:
    return [target.name or _own_name(target.val) for target in _targets(arm)]


def _own_name(node: Any) -> str:
    """The name of a column that is given none; only a reference has one that can be relied on."""
    return str(node.fields[-1].sval) if type(node).__name__ == "ColumnRef" else "?column?"
