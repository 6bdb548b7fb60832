"""Values that an operator types: each field of a verb or of a filter is described, and read from its text.

The command line makes its options from these fields, and the console its forms. An empty text says nothing, as a field of a form
that was left empty does.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, assert_never
from uuid import UUID

import attrs
import msgspec

from saga_fn.errors import PayloadError, shown

_LENGTH: Final = re.compile(r"([0-9]{1,9}) ?(ms|s|m|h|d|w)")
_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FLAGS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class FieldKind(enum.StrEnum):
    """The form of a field's text."""

    TEXT = "text"
    """A text as it is, such as a name."""
    STEP = "step"
    """The id of a step."""
    STEPS = "steps"
    """Ids of steps with commas between them, or a JSON list of them."""
    JSON = "json"
    """A value as JSON."""
    FLAG = "flag"
    """`true` or `false`."""
    TIME = "time"
    """A moment in ISO 8601; in UTC if it names no offset."""
    LENGTH = "length"
    """A length of time, such as `90s`, `15m`, `2h` or `7d`."""
    WHOLE = "whole"
    """A whole number."""
    CHOICE = "choice"
    """One of the field's choices."""
    CHOICES = "choices"
    """One or more of the field's choices, with commas between them."""
    CONDITION = "condition"
    """A search attribute, an operator and a value, such as `customer=c-17` or `total>=10`."""


@attrs.frozen
class TextField:
    """A field that an operator fills in."""

    name: str
    """Its name: that of the argument in Python."""
    kind: FieldKind
    """The form of its text."""
    summary: str
    """A line for people: the meaning of the field."""
    is_required: bool = False
    """Whether it may not be left empty."""
    choices: tuple[str, ...] = ()
    """Every text that it may have, if its kind has choices."""

    @property
    def option(self) -> str:
        """Its name on a command line, without dashes in front."""
        return self.name.replace("_", "-")


Read: TypeAlias = Callable[[TextField, str], object]


def read_fields(
    fields: Iterable[TextField], given: Mapping[str, str], *, of: str, read: Read | None = None
) -> dict[str, object]:
    """The values of all fields that were filled in, by name.

    `read` is for fields whose kind needs more than the text: a condition on an attribute needs to know the attribute's type.
    Raises PayloadError for a text that is none of its field, for a field that is missing, and for one that there is not.
    """
    known = {field.name: field for field in fields}
    for name in given:
        if name not in known:
            raise PayloadError(f"{of} has no field {shown(name)}", hint=f"its fields are {', '.join(known) or 'none'}")
    values: dict[str, object] = {}
    for name, field in known.items():
        text = given.get(name, "").strip()
        if text:
            values[name] = (read or value_of)(field, text)
        elif field.is_required:
            raise PayloadError(f"{of} needs the field {shown(name)}: {field.summary}", hint=_example(field))
    return values


def value_of(field: TextField, text: str) -> object:
    """The value of a field's text. Raises PayloadError if it is none."""
    match field.kind:
        case FieldKind.TEXT | FieldKind.STEP | FieldKind.CONDITION:
            return text
        case FieldKind.STEPS:
            return tuple(parts_of(text))
        case FieldKind.JSON:
            return _json(field, text)
        case FieldKind.FLAG:
            if text.lower() not in _FLAGS:
                raise _wrong(field, text)
            return _FLAGS[text.lower()]
        case FieldKind.TIME:
            return _time(field, text)
        case FieldKind.LENGTH:
            return length_of(field.name, text)
        case FieldKind.WHOLE:
            if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
                raise _wrong(field, text)
            return int(text)
        case FieldKind.CHOICE:
            return _choice(field, text)
        case FieldKind.CHOICES:
            return tuple(_choice(field, each) for each in parts_of(text))
        case _:
            assert_never(field.kind)


def length_of(name: str, text: str) -> timedelta:
    """A length of time. Raises PayloadError for a text that is none.

    >>> length_of("older_than", "90s")
    datetime.timedelta(seconds=90)
    """
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise PayloadError(f"{name} is no length of time: {shown(text)}", hint="such as 90s, 15m, 2h, 7d or 4w")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise PayloadError(f"{name} is too long: {shown(text)}", hint="365d is the longest") from None


def length_in_words(length: timedelta) -> str:
    """A length of time as it is written in a field, in the largest unit that gives a whole number.

    >>> length_in_words(timedelta(hours=48)), length_in_words(timedelta(seconds=90))
    ('2d', '90s')
    """
    for unit, name in reversed(_UNITS.items()):
        number, rest = divmod(length, timedelta(**{name: 1}))
        if number and not rest:
            return f"{number}{unit}"
    return str(length)


def id_of(text: str, what: str = "a saga's id") -> UUID:
    """An id. Raises PayloadError for a text that is none."""
    try:
        return UUID(text.strip())
    except ValueError:
        raise PayloadError(
            f"{what} is a UUID, not {shown(text)}", hint="such as 01a225a8-f4ff-8e62-81e9-70c12026bec3; lists show it"
        ) from None


def parts_of(text: str) -> list[str]:
    """The parts of a list: with commas between them, or as JSON where a part has a comma itself.

    >>> parts_of("reserve, charge"), parts_of('["a,b"]')
    (['reserve', 'charge'], ['a,b'])
    """
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text.encode(), type=list[str])
        except (msgspec.MsgspecError, UnicodeError):
            pass  # the name of a part begins so
    return [each.strip() for each in text.split(",") if each.strip()]


def text_of(parts: Sequence[str]) -> str:
    """A list as a text, which `parts_of` reads.

    >>> text_of(["reserve", "charge"]), text_of(["a,b", "c"])
    ('reserve,charge', '["a,b","c"]')
    """
    text = ",".join(parts)
    return text if parts_of(text) == list(parts) else msgspec.json.encode(parts).decode()


def _json(field: TextField, text: str) -> object:
    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        said = "it is too deep" if isinstance(error, RecursionError) else str(error)
        raise PayloadError(
            f"{field.name} is no JSON: {said}",
            hint='a text stands in double quotes, such as "p-1"; an object is {"a": 1}',
        ) from None


def _time(field: TextField, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(field, text) from None
    return found if found.utcoffset() is not None else found.replace(tzinfo=UTC)


def _choice(field: TextField, text: str) -> str:
    found = next((each for each in field.choices if each.lower() == text.lower()), None)
    if found is None:
        raise _wrong(field, text)
    return found


def _wrong(field: TextField, text: str) -> PayloadError:
    return PayloadError(f"{field.name} cannot be {shown(text)}", hint=_example(field))


def _example(field: TextField) -> str:
    match field.kind:
        case FieldKind.TEXT:
            return "a text, such as a name"
        case FieldKind.STEP:
            return "the id of a step, such as charge, or charge[3] for one item of a fan-out"
        case FieldKind.STEPS:
            return 'ids of steps, such as reserve,charge; as JSON if an id has a comma: ["a,b"]'
        case FieldKind.JSON:
            return 'JSON, such as {"payment_id": "p-1"}'
        case FieldKind.FLAG:
            return "true or false"
        case FieldKind.TIME:
            return "a moment, such as 2026-11-29T06:00+00:00; without an offset it is in UTC"
        case FieldKind.LENGTH:
            return "a length of time, such as 90s, 15m, 2h or 7d"
        case FieldKind.WHOLE:
            return "a whole number, such as 2"
        case FieldKind.CHOICE:
            return f"one of {', '.join(field.choices)}"
        case FieldKind.CHOICES:
            return f"one or more of {', '.join(field.choices)}, with commas between them"
        case FieldKind.CONDITION:
            return "an attribute and its value, such as customer=c-17, total>=10 or day=2026-11-01..2026-11-30"
        case _:
            assert_never(field.kind)
