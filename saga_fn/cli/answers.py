"""The answer of a command: data for programs, and parts for people. Both are made before anything is written."""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeAlias, cast
from uuid import UUID

import attrs
import msgspec

from saga_fn.cli.exit_codes import ExitCode
from saga_fn.snapshot import Unreadable

_EXACT: Final = 2**53
"""A double holds every whole number up to this one. Many readers of JSON have no others."""


@attrs.frozen
class Lines:
    """Lines of text, as they are."""

    lines: tuple[str, ...]


@attrs.frozen
class Facts:
    """Names and their values, below a heading."""

    heading: str
    facts: tuple[tuple[str, str], ...]


@attrs.frozen
class Table:
    """Rows under a head; a narrow terminal gets each row as a block of its own."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    heading: str = ""


@attrs.frozen
class Drawn:
    """A picture as text. The one who drew it has made every name in it printable, so it is written as it is."""

    text: str


Part: TypeAlias = Lines | Facts | Table | Drawn
"""A piece of text: a closed union."""


@attrs.frozen
class Answer:
    """All that a command has to say."""

    data: object
    """The answer for `--json`: values of the library, or plain ones."""
    parts: tuple[Part, ...]
    code: ExitCode = ExitCode.DONE


def lines(*texts: str) -> Lines:
    """Some lines."""
    return Lines(texts)


def said(text: str, data: object, code: ExitCode = ExitCode.DONE) -> Answer:
    """An answer of one line."""
    return Answer(data, (Lines((text,)),), code)


def facts(heading: str, pairs: Iterable[tuple[str, object]]) -> Facts:
    """The facts that there are: None is none."""
    return Facts(heading, tuple((name, text_of(value)) for name, value in pairs if value is not None))


def text_of(value: object) -> str:
    """A value as a cell has it.

    >>> text_of(None), text_of(datetime(2026, 11, 29, 6, 0, tzinfo=UTC)), text_of(("a", "b"))
    ('', '2026-11-29 06:00:00 UTC', 'a, b')
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        case enum.Flag():
            return ", ".join(names_of(value))
        case enum.Enum():
            return str(value.value)
        case str():
            return value
        case tuple() | list():
            return ", ".join(map(text_of, cast("Sequence[object]", value)))
        case _:
            return str(value)


def names_of(flags: enum.Flag) -> list[str]:
    """The names of the flags that are set, in small letters."""
    return [str(each.name).lower() for each in type(flags) if each in flags and each.value]


def json_of(value: object) -> str:
    r"""The value as one line of JSON, in ASCII: no character of it reaches a terminal as itself.

    >>> json_of({"text": "\x1b[31m", "number": 2**53 + 1})
    '{"text": "\\u001b[31m", "number": "9007199254740993"}'
    """
    return json.dumps(plain(value), ensure_ascii=True, allow_nan=False)


def plain(value: object) -> object:
    """The value as JSON has it. Whole numbers beyond 2^53 are texts, times are ISO 8601, lengths of time are seconds."""
    match value:
        case None | bool():
            return value
        case enum.Flag():
            return names_of(value)
        case enum.Enum():
            return plain(value.value)
        case str():
            return str.__str__(value)
        case int():
            return int(value) if -_EXACT <= value <= _EXACT else str(int(value))
        case float():
            return value if abs(value) < float("inf") else str(value)
        case UUID() | Decimal():
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case Unreadable():
            return {"unreadable": value.size}
        case Mapping():
            return {str(key): plain(each) for key, each in cast("Mapping[object, object]", value).items()}
        case Sequence() | AbstractSet():
            return [plain(each) for each in cast("Iterable[object]", value)]
        case _:
            return plain(dict(_fields(value)))


def _fields(value: object) -> Iterator[tuple[str, object]]:
    kind = type(value)
    if attrs.has(kind):
        yield from ((each.name, getattr(value, each.name)) for each in attrs.fields(kind))
    elif isinstance(value, msgspec.Struct):
        yield from ((name, getattr(value, name)) for name in value.__struct_fields__)
    else:
        yield "text", str(value)
