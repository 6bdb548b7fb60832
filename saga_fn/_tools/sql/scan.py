"""Reads hand-written SQL files: header comments, `:name` parameters, statements. Needs no server.

A query file holds one statement:

    -- name: due_sagas :many DueSaga
    -- nullable: key
    -- Up to `batch_size` due sagas of one shard, the longest waiting first.
    SELECT s.id, s.name, s.aggregation_id AS key
    FROM saga_fn.saga AS s
    WHERE s.shard = :shard::int2 AND s.due_at <= now()
    LIMIT :batch_size::int4;

`:one` raises when there is no row, `:optional` gives None then, `:many` a list, `:exec` nothing, `:execrows` the number
of rows touched. `nullable:` lists what may be null, and all else is taken as NOT NULL: a bare name is a column of the
result (or, if it has none of that name, a parameter), `:name` is always the parameter, `name[]` and `:name[]` are an
array's elements. `not null:` lists columns of the result that are never null in this statement although its text does not
tell so: columns that are nullable in the schema, and all but the plainest expressions (see `nullability`). `lint:` lines
allow what the linter would refuse, with the reason. All other comment lines at the top are the docstring.

`-- also: other_name` at the top makes another statement of the file, by that name: the first does not have what stands between
the lines `-- also: begin` and `-- also: end`. So two statements cannot differ in the rest. Where that is a column of the result,
`-- also: other_name RowClass` names another class of rows. There may be several such lines. A part that begins with
`-- also: begin other_name` then belongs to that statement alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import Final, assert_never

import attrs

from saga_fn._tools.sql.qualify import qualified
from saga_fn._tools.sql.scan_error import SqlFileError as SqlFileError  # noqa: PLC0414 - for readers of files
from saga_fn.store.schema_name import SCHEMA_MARKER

SCHEMA_IN_SOURCE: Final = "saga_fn"
"""The schema's name in the files, so that psql can run them as they are."""

# The order matters: what may contain a colon comes before parameters, and `::` before `:name`.
_TOKEN: Final = re.compile(
    r"""
      (?P<comment>--[^\n]*|/\*.*?\*/)
    | (?P<string>\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<dollar>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<cast>::)
    | :(?P<param>[A-Za-z_]\w*)
    | (?P<positional>\$\d+)
    | (?P<word>[A-Za-z_][\w$]*)
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


_ALSO: Final = re.compile(r"^-- also: begin(?: (\w+))?\n.*?^-- also: end\n", re.MULTILINE | re.DOTALL)
"""A part that the first statement of a file does not have, with the name of the only other that has it, if it names one."""


class Cardinality(StrEnum):
    """How many rows a statement gives, as written after its name."""

    ONE = ":one"
    OPTIONAL = ":optional"
    MANY = ":many"
    EXEC = ":exec"
    EXECROWS = ":execrows"

    @property
    def gives_rows(self) -> bool:
        """Whether the method returns what the statement's columns hold."""
        match self:
            case Cardinality.ONE | Cardinality.OPTIONAL | Cardinality.MANY:
                return True
            case Cardinality.EXEC | Cardinality.EXECROWS:
                return False
            case _:
                assert_never(self)


@attrs.frozen
class Query:
    """One query file, read."""

    path: Path
    name: str
    cardinality: Cardinality
    row_class: str | None
    nullable: frozenset[str]
    not_null: frozenset[str]
    doc: tuple[str, ...]
    sql: str
    """One statement with `$n` for parameters and the marker for the schema, without comments."""
    parameters: tuple[str, ...]
    """In the order of their `$n`."""


@attrs.frozen
class MigrationSource:
    """One file of sql/schema, read. Number 0 is the bootstrap."""

    number: int
    name: str
    breaking: bool
    concurrently: bool
    statements: tuple[str, ...]


@attrs.frozen
class _Header:
    name: str
    also: dict[str, str | None]
    """The other statements of the file, with their own classes of rows."""
    cardinality: Cardinality
    row_class: str | None
    nullable: frozenset[str]
    not_null: frozenset[str]
    doc: tuple[str, ...]


def read_query(path: Path) -> Query:
    """Read the statement that one file of sql/queries is named after. Raises SqlFileError."""
    return read_all_of(path)[0]


def read_all_of(path: Path) -> tuple[Query, ...]:
    """Read the statements of a file of sql/queries. Raises SqlFileError."""
    text = path.read_text(encoding="utf-8")
    header = _read_header(path, text)
    texts = {name: _text_of(name, text) for name in (None, *header.also)}
    named = {name for name in _ALSO.findall(text) if name}
    if named > set(header.also) or len(set(texts.values())) < len(texts) or (not header.also and texts[None] != text):
        raise SqlFileError(
            f"{path}: names a second statement, or has a part of one.\n"
            "HINT: write -- also: its_name at the top, and -- also: begin and -- also: end around what it alone has."
        )
    found = [_read_statement(path, header, each, name=name) for name, each in texts.items()]
    known = {parameter for query in found for parameter in query.parameters}
    return tuple(
        attrs.evolve(
            query,
            nullable=frozenset(
                mark
                for mark in query.nullable
                if mark.strip(":").removesuffix("[]") not in known.difference(query.parameters)
            ),
            row_class=header.also.get(query.name) or query.row_class,
        )
        for query in found
    )


def _text_of(name: str | None, text: str) -> str:
    """The text of one statement of a file; None is the first."""
    return _ALSO.sub(lambda part: part[0] if name is not None and part[1] in (None, name) else "", text)


def _read_statement(path: Path, header: _Header, text: str, name: str | None = None) -> Query:
    parameters: list[str] = []
    statements = list(_statements(path, text, parameters))
    if len(statements) != 1:
        raise SqlFileError(f"{path}: holds {len(statements)} statements.\nHINT: write one statement a file.")
    return Query(
        path=path,
        name=name or header.name,
        cardinality=header.cardinality,
        row_class=header.row_class,
        nullable=header.nullable,
        not_null=header.not_null,
        doc=header.doc,
        sql=qualified(path, statements[0]),
        parameters=tuple(parameters),
    )


def read_queries(folder: Path) -> tuple[Query, ...]:
    """Read all of sql/queries, by name."""
    return tuple(query for path in sorted(folder.glob("*.sql")) for query in read_all_of(path))


def read_migrations(folder: Path) -> tuple[MigrationSource, ...]:
    """Read all of sql/schema, by number. Raises SqlFileError when a number is missing or taken twice."""
    migrations: list[MigrationSource] = []
    for expected, path in enumerate(sorted(folder.glob("*.sql"))):
        named = re.fullmatch(r"(\d{4})_([a-z0-9_]+)", path.stem)
        if named is None or int(named[1]) != expected:
            raise SqlFileError(
                f"{path}: is not number {expected}.\n"
                f"HINT: name it {expected:04}_what_it_does.sql; gaps are not allowed."
            )
        text = path.read_text(encoding="utf-8")
        marks = set(re.findall(r"^--!\s*(.*?)\s*$", text, re.MULTILINE))
        if unknown := marks - {"breaking", "concurrently"}:
            raise SqlFileError(
                f"{path}: unknown mark {sorted(unknown)}.\nHINT: marks are `--! breaking` and `--! concurrently`."
            )
        parameters: list[str] = []
        statements = tuple(_statements(path, text, parameters))
        if parameters:
            raise SqlFileError(f"{path}: has the parameter :{parameters[0]}.\nHINT: a migration takes none.")
        statements = tuple(qualified(path, statement) for statement in statements)
        migrations.append(MigrationSource(expected, named[2], "breaking" in marks, "concurrently" in marks, statements))
    return tuple(migrations)


def _read_header(path: Path, text: str) -> _Header:
    top = takewhile(lambda line: line.startswith("--") or not line.strip(), text.splitlines())
    lines = [line[2:].strip() for line in top if line.startswith("--")]
    named = re.fullmatch(r"name:\s*([a-z][a-z0-9_]*)\s+(:[a-z]+)(?:\s+([A-Z][A-Za-z0-9]*))?", lines[0] if lines else "")
    if named is None or named[2] not in set(Cardinality):
        kinds = " ".join(Cardinality)
        raise SqlFileError(
            f"{path}: the header is missing or wrong.\n"
            f"HINT: begin with `-- name: {path.stem} :many RowClass`, one of {kinds}."
        )
    if named[1] != path.stem:
        raise SqlFileError(f"{path}: its header names {named[1]}.\nHINT: file and statement have one name.")
    cardinality = Cardinality(named[2])
    if named[3] is not None and not cardinality.gives_rows:
        raise SqlFileError(
            f"{path}: {cardinality} gives no rows, so {named[3]} means nothing.\nHINT: drop it, or use :many."
        )
    lists: dict[str, set[str]] = {"nullable": set(), "not null": set()}
    doc: list[str] = []
    also: dict[str, str | None] = {}
    for line in lines[1:]:
        directive, _, rest = line.partition(":")
        if directive in lists:
            lists[directive].update(rest.replace(",", " ").split())
        elif directive == "also":
            also_name, _, row_class = rest.strip().partition(" ")
            also[also_name] = row_class or None
        elif directive != "lint":
            doc.append(line)
    if not any(doc):
        raise SqlFileError(
            f"{path}: says nowhere what it does.\nHINT: add a comment line below the header; it becomes the docstring."
        )
    return _Header(
        named[1],
        also,
        cardinality,
        named[3],
        frozenset(lists["nullable"]),
        frozenset(lists["not null"]),
        tuple(doc),
    )


def _statements(path: Path, text: str, parameters: list[str]) -> Iterator[str]:
    """Split at `;`, drop comments, number the parameters (appending new ones to `parameters`) and mark the schema."""
    if SCHEMA_MARKER in text:
        raise SqlFileError(f"{path}: contains {SCHEMA_MARKER}.\nHINT: write the schema as {SCHEMA_IN_SOURCE}.")
    parts: list[str] = []
    for token in _TOKEN.finditer(text):
        match token.lastgroup:
            case "comment":
                parts.append(" ")
            case "param":
                name = token["param"]
                if name not in parameters:
                    parameters.append(name)
                parts.append(f"${parameters.index(name) + 1}")
            case "positional":
                raise SqlFileError(f"{path}: has the positional parameter {token[0]}.\nHINT: write :name.")
            case "word" if token[0] == SCHEMA_IN_SOURCE:
                parts.append(SCHEMA_MARKER)
            case "end":
                yield _tidied(parts)
                parts = []
            case _:
                parts.append(token[0])
    if last := _tidied(parts):
        yield last


def _tidied(parts: list[str]) -> str:
    """Join, without the blanks that removed comments left behind."""
    lines = (line.rstrip() for line in "".join(parts).splitlines())
    return "\n".join(line for line in lines if line).strip()
