"""Asks a live PostgreSQL, with the schema applied, for the types of a statement's parameters and columns."""

from __future__ import annotations

import keyword
import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import asyncpg
import attrs

from saga_fn._tools.sql.nullability import Nullability
from saga_fn._tools.sql.qualify import STAND_IN, parsed
from saga_fn._tools.sql.scan import SCHEMA_IN_SOURCE, MigrationSource, Query, SqlFileError
from saga_fn.store.schema_name import with_schema

# jsonb is missing on purpose: asyncpg gives it as text, and payloads are bytes of ours.
_PYTHON_TYPES: Final = {
    "bool": "bool",
    "bytea": "bytes",
    "float8": "float",
    "int2": "int",
    "int4": "int",
    "int8": "int",
    "interval": "timedelta",
    "text": "str",
    "timestamptz": "datetime",
    "uuid": "UUID",
}


@attrs.frozen
class Field:
    """A parameter or a column: its name and its Python type, as source text."""

    name: str
    type: str


@attrs.frozen
class Described:
    """A query with its types."""

    query: Query
    parameters: tuple[Field, ...]
    columns: tuple[Field, ...]


class _Type(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...


@asynccontextmanager
async def scratch_database(dsn: str, migrations: Iterable[MigrationSource]) -> AsyncGenerator[asyncpg.Connection]:
    """A database of its own on the server behind `dsn`, with the schema applied; dropped at the end."""
    name = f"saga_fn_codegen_{secrets.token_hex(4)}"
    server = await asyncpg.connect(dsn)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        try:
            conn = await asyncpg.connect(dsn, database=name)
            try:
                for migration in migrations:
                    for statement in migration.statements:
                        await conn.execute(with_schema(statement, SCHEMA_IN_SOURCE))
                yield conn
            finally:
                await conn.close()
        finally:
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


async def describe_all(conn: asyncpg.Connection, queries: Sequence[Query]) -> tuple[Described, ...]:
    """Describe each query. Raises SqlFileError for the first that the server or the generator does not take."""
    rows = await conn.fetch(
        "SELECT c.relname, a.attname FROM pg_catalog.pg_attribute AS a"
        " JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid"
        " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0"
        " AND NOT a.attisdropped AND NOT a.attnotnull",
        SCHEMA_IN_SOURCE,
    )
    nullability = Nullability(STAND_IN, frozenset((str(row[0]), str(row[1])) for row in rows))
    return tuple([await _describe(conn, query, nullability) for query in queries])


async def _describe(conn: asyncpg.Connection, query: Query, nullability: Nullability) -> Described:
    try:
        statement = await conn.prepare(with_schema(query.sql, SCHEMA_IN_SOURCE))
    except asyncpg.PostgresError as refusal:
        raise SqlFileError(f"{query.path}: PostgreSQL refuses it: {refusal}") from refusal
    attributes = statement.get_attributes()
    if query.cardinality.gives_rows != bool(attributes):
        raise SqlFileError(
            f"{query.path}: is {query.cardinality} but has {len(attributes)} columns.\n"
            "HINT: :one, :optional and :many are for statements that give columns, :exec and :execrows for the others."
        )
    names = [attribute.name for attribute in attributes]
    for name in (*names, *query.parameters):
        if not name.isidentifier() or keyword.iskeyword(name) or name in {"self", "conn"}:
            raise SqlFileError(f"{query.path}: {name!r} cannot be a name in Python.\nHINT: call it otherwise, with AS.")
    if len(set(names)) != len(names):
        raise SqlFileError(f"{query.path}: two columns have one name.\nHINT: rename one with AS.")

    column_marks = {mark for mark in query.nullable if mark.removesuffix("[]") in names}
    _check_nullable_columns(query, column_marks, nullability)
    parameter_marks = {mark.removeprefix(":") for mark in query.nullable - column_marks}
    if unknown := {mark.removesuffix("[]") for mark in parameter_marks} - set(query.parameters):
        raise SqlFileError(
            f"{query.path}: `nullable:` lists {sorted(unknown)}, which it has not.\nHINT: mend the name."
        )
    return Described(
        query=query,
        parameters=tuple(
            Field(name, _python_type(query, name, type_, parameter_marks))
            for name, type_ in zip(query.parameters, statement.get_parameters(), strict=True)
        ),
        columns=tuple(
            Field(attribute.name, _python_type(query, attribute.name, attribute.type, column_marks))
            for attribute in attributes
        ),
    )


def _check_nullable_columns(query: Query, marks: set[str], nullability: Nullability) -> None:
    """A column that is not known to have a value always has to be declared one way or the other."""
    if not query.cardinality.gives_rows:
        return
    (tree,) = parsed(query.path, query.sql)
    doubtful = nullability.in_doubt(tree.stmt)
    if forgotten := doubtful - marks - query.not_null:
        raise SqlFileError(
            f"{query.path}: nothing tells that {sorted(forgotten)} cannot be null.\n"
            "HINT: list it under `-- nullable:`, or, if this statement never gives null for it, under `-- not null:`."
        )
    if unknown := query.not_null - (doubtful - marks):
        raise SqlFileError(
            f"{query.path}: `not null:` need not or cannot list {sorted(unknown)}.\nHINT: remove it there."
        )


def _python_type(query: Query, name: str, type_: _Type, nullable: set[str]) -> str:
    is_array = type_.kind == "array"
    element = _PYTHON_TYPES.get(type_.name.removesuffix("[]"))
    if element is None:
        raise SqlFileError(
            f"{query.path}: {name} is of type {type_.name}.\n"
            f"HINT: cast it to one of {', '.join(_PYTHON_TYPES)} or an array of these."
        )
    if f"{name}[]" in nullable:
        if not is_array:
            raise SqlFileError(f"{query.path}: `nullable:` lists {name}[], which is {type_.name}.\nHINT: write {name}.")
        element += " | None"
    python = f"Sequence[{element}]" if is_array else element
    return f"{python} | None" if name in nullable else python
