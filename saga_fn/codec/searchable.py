"""Texts of search attributes' values: one letter for the type, then the value, in the order of the values of that type.

PostgreSQL compares them by their bytes (`COLLATE "C"`), Python by their code points: the two are one order. The letter keeps
values of different types apart, whatever an attribute of that name was before, and a row can be read without its definition.
"""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, TypeAlias
from uuid import UUID

from saga_fn.errors import PayloadError, StoredDataError
from saga_fn.printable import a_type_of

Searchable: TypeAlias = str | int | bool | datetime | date | Decimal | UUID
"""A value of a search attribute. The text of a StrEnum is kept."""


class ValueKind(enum.StrEnum):
    """The types of values, each with its letter."""

    TEXT = "s"
    WHOLE = "i"
    FLAG = "b"
    MOMENT = "t"
    DAY = "y"
    NUMBER = "d"
    ID = "u"


_KINDS: Final[tuple[tuple[type[Searchable], ValueKind], ...]] = (
    (bool, ValueKind.FLAG),  # which is an int, as a datetime is a date
    (int, ValueKind.WHOLE),
    (datetime, ValueKind.MOMENT),
    (date, ValueKind.DAY),
    (Decimal, ValueKind.NUMBER),
    (UUID, ValueKind.ID),
    (str, ValueKind.TEXT),
)
LONGEST_TEXT: Final = 255
"""Characters of a text."""
_LARGEST: Final = 2**63 - 1
_MOST_DIGITS: Final = 100
"""Digits of a Decimal, the zeros at both ends left out."""
_FURTHEST: Final = 4999
"""The first digit of a Decimal stands for so many powers of ten at most, or at least."""
_UNKNOWN: Final = "!"
"""Stands in the place of the letter where the value could not be computed; the name of the error's type follows."""
_LONGEST_NAME: Final = 64
_NINES: Final = str.maketrans("0123456789", "9876543210")


def kind_of(value: object) -> ValueKind | None:
    """The kind of a value; None for one that no attribute has.

    >>> kind_of(True), kind_of("c-17"), kind_of(1.5)
    (<ValueKind.FLAG: 'b'>, <ValueKind.TEXT: 's'>, None)
    """
    return next((kind for tp, kind in _KINDS if isinstance(value, tp)), None)


def kind_of_type(tp: type) -> ValueKind | None:
    """The kind of the values of a type; None for a type that no attribute has."""
    if issubclass(tp, str):
        return ValueKind.TEXT if tp is str or issubclass(tp, enum.StrEnum) else None
    return next((kind for each, kind in _KINDS if tp is each), None)


def text_of(value: object) -> str:
    """The text of a value. Raises PayloadError for one that is too large, that PostgreSQL cannot store, or of another type.

    >>> text_of("c-17"), text_of(17), text_of(Decimal("-1.50"))
    ('sc-17', 'i10000000000000000017', 'd0499984~')
    """
    match value:
        case bool():
            return f"{ValueKind.FLAG}{value:d}"
        case str():
            return f"{ValueKind.TEXT}{_text(value)}"
        case int():
            if not -_LARGEST <= value <= _LARGEST:
                raise PayloadError("a whole number of more than 64 bits", hint="keep it as a Decimal, or as a text")
            return f"{ValueKind.WHOLE}{value + 10**19:020d}"
        case datetime():
            return f"{ValueKind.MOMENT}{_utc(value).isoformat(timespec='microseconds')}"
        case date():
            return f"{ValueKind.DAY}{value.isoformat()}"
        case Decimal():
            return f"{ValueKind.NUMBER}{_number(value)}"
        case UUID():
            return f"{ValueKind.ID}{value}"
        case _:
            raise PayloadError(f"{a_type_of(value)} cannot be searched for", hint="make a text or a number of it")


def unknown(error: BaseException) -> str:
    """The mark in the place of a value that could not be computed."""
    name = type(error).__name__
    return _UNKNOWN + (name[:_LONGEST_NAME] if name.isascii() else "Exception")


def value_in(text: str) -> Searchable | None:
    """The value of a text; None where it could not be computed. Raises StoredDataError for a text of another build, or of none."""
    kind, rest = text[:1], text[1:]
    try:
        match kind:
            case ValueKind.FLAG:
                return rest == "1"
            case ValueKind.TEXT:
                return rest
            case ValueKind.WHOLE:
                return int(rest) - 10**19
            case ValueKind.MOMENT:
                return datetime.fromisoformat(rest).replace(tzinfo=UTC)
            case ValueKind.DAY:
                return date.fromisoformat(rest)
            case ValueKind.NUMBER:
                return _number_in(rest)
            case ValueKind.ID:
                return UUID(rest)
            case "!":
                return None
            case _:
                raise StoredDataError("attribute", "it is of a type that is not known here")
    except (ValueError, ArithmeticError) as error:
        raise StoredDataError("attribute", type(error).__name__) from None


def after(text: str) -> str:
    """The first text behind this one: no text holds a NUL.

    >>> "sc-17" < after("sc-17") < "sc-170"
    True
    """
    return text + "\x01"


def all_of(kind: ValueKind) -> tuple[str, str]:
    """The place before all texts of a kind, and the one behind them."""
    return kind.value, chr(ord(kind.value) + 1)


def _text(value: str) -> str:
    text = str.__str__(value)  # a class of the user's may have another one
    if len(text) > LONGEST_TEXT:
        raise PayloadError(
            f"a text of {len(text):,} characters, {LONGEST_TEXT} are the most",
            hint="search by an id, or by the beginning",
        )
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise PayloadError("a text with a NUL or a lone surrogate", hint="leave it out: PostgreSQL cannot store it")
    return text


def _utc(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise PayloadError(
            "a naive datetime, which could be anywhere in the world", hint="make it aware: datetime.now(UTC)"
        )
    try:
        return value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise PayloadError(
            "a datetime that UTC has no year for", hint="take one from the year 1 to 9999, in UTC"
        ) from None


def _number(value: Decimal) -> str:
    sign, digits, exponent = Decimal.as_tuple(value)  # a class of the user's may have another one, here and below
    if not isinstance(exponent, int):
        raise PayloadError("a Decimal that is no number", hint="leave NaN and infinity out")
    shown = "".join(map(str, digits)).lstrip("0")
    power = exponent + len(shown) - 1
    shown = shown.rstrip("0")
    if not shown:
        return "1"
    if len(shown) > _MOST_DIGITS or abs(power) > _FURTHEST:
        raise PayloadError(
            f"a Decimal of more than {_MOST_DIGITS} digits, or beyond 10 to the power of {_FURTHEST}", hint="round it"
        )
    if not sign:
        return f"2{power + _FURTHEST + 1:04d}{shown}"
    return f"0{_FURTHEST - power:04d}{shown.translate(_NINES)}~"  # "~" stands behind all digits: -1.5 comes before -1


def _number_in(text: str) -> Decimal:
    if text == "1":
        return Decimal(0)
    power, digits = int(text[1:5]), text[5:]
    if text[0] == "2":
        return Decimal(f"{digits}E{power - _FURTHEST - len(digits)}")
    digits = digits[:-1].translate(_NINES)
    return Decimal(f"-{digits}E{_FURTHEST - power - len(digits) + 1}")
