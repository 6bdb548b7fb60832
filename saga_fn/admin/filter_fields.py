"""A filter of sagas as a form: its fields, and how it is read from texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Final, TypeVar, assert_never, cast
from uuid import UUID

from saga_fn.admin.text_fields import FieldKind, TextField, length_in_words, read_fields, value_of
from saga_fn.codec.searchable import ValueKind, after, value_in
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import ParkReason
from saga_fn.definition.attributes import Attribute, HasValue
from saga_fn.engine.registry import Registered
from saga_fn.errors import PayloadError, SagaDefinitionError, SagaError, StoredDataError, shown
from saga_fn.listing import SagaFilter
from saga_fn.printable import with_article

V = TypeVar("V", str, int, bool, date, datetime, Decimal, UUID)

_WAITS: Final = {str(each.name).lower(): each for each in WaitReason if each}
_CONDITION: Final = re.compile(r"([^:=<>]{1,64})(?::([a-z]{1,12}))?(>=|<=|=)(.*)", re.DOTALL)
_TYPES: Final = {
    "str": ValueKind.TEXT,
    "int": ValueKind.WHOLE,
    "bool": ValueKind.FLAG,
    "decimal": ValueKind.NUMBER,
    "date": ValueKind.DAY,
    "datetime": ValueKind.MOMENT,
    "uuid": ValueKind.ID,
}
_WRITTEN: Final = "customer=c-17, total>=10, day=2026-11-01..2026-11-30; total:decimal>=10 names the type"

FILTER_FIELDS: Final = (
    TextField("saga_name", FieldKind.TEXT, "The name of the sagas."),
    TextField("version", FieldKind.WHOLE, "The version of their definition."),
    TextField("status", FieldKind.CHOICE, "Their status.", choices=tuple(SagaStatus)),
    TextField("active", FieldKind.FLAG, "true: those that have not ended; false: those that have."),
    TextField(
        "waits",
        FieldKind.CHOICES,
        "Why they wait; of several with commas between, for all of them at once. paused: those that are paused by themselves.",
        choices=tuple(_WAITS),
    ),
    TextField("parked", FieldKind.CHOICE, "Parked for this reason.", choices=tuple(ParkReason)),
    TextField(
        "step",
        FieldKind.TEXT,
        "Parked at this step, or FAILED at it. A step that fans out stands for its items, too; pick[2] names one.",
    ),
    TextField("error", FieldKind.TEXT, "The type name of their last error; of parked or FAILED sagas."),
    TextField("acknowledged", FieldKind.FLAG, "Whether an operator has acknowledged that they FAILED."),
    TextField("aggregation_id", FieldKind.TEXT, "Their business key."),
    TextField("attribute", FieldKind.CONDITION, "A search attribute, such as customer=c-17 or total>=10."),
    TextField("older_than", FieldKind.LENGTH, "Started so long ago or longer, such as 2h."),
    TextField("created_from", FieldKind.TIME, "Started at this moment or later."),
    TextField("created_before", FieldKind.TIME, "Started before this moment."),
    TextField("ended_from", FieldKind.TIME, "Ended at this moment or later."),
    TextField("ended_before", FieldKind.TIME, "Ended before this moment."),
)
"""Every argument of `SagaFilter`."""


def filter_from(given: Mapping[str, str], known: Iterable[Registered] = ()) -> SagaFilter:
    """Read a filter from the texts of its fields.

    Args:
        given: The texts by the names of the fields. One that is empty or missing narrows nothing.
        known: The registered definitions, which say what type an attribute has. Default: none. An attribute that no
            definition names has texts, unless its type is written: `total:decimal>=10`.

    Returns:
        The filter.

    Raises:
        PayloadError: A text is not one of its field; the hint says how it is written.
    """
    name = given.get("saga_name", "").strip()
    named = [each.definition for each in known if name in ("", each.name)]
    kinds = {each.name: each.kind for definition in named for each in definition.attributes}

    def read(field: TextField, text: str) -> object:
        return condition_from(text, kinds) if field.kind is FieldKind.CONDITION else value_of(field, text)

    values = read_fields(FILTER_FIELDS, given, of="a filter", read=read)
    if "status" in values:
        values["status"] = SagaStatus(str(values["status"]))
    if "waits" in values:
        chosen = cast("tuple[str, ...]", values["waits"])
        values["waits"] = WaitReason(sum({_WAITS[each] for each in chosen}))  # a bit for each
    try:
        return SagaFilter(**values)  # type: ignore[arg-type]  # the class judges what is known at run time only
    except PayloadError:
        raise
    except SagaError as error:  # a number that is out of its range
        raise PayloadError(error.fact, hint=error.hint) from None


def in_words(wanted: Mapping[str, object], *, values: bool = True) -> dict[str, str]:
    """The filter of an operation, each field as an operator writes it. Without `values` no attribute's value is told.

    >>> in_words({"waits": WaitReason.RETRY, "attribute": "total", "value": "i10000000000000000010", "value_before": "j"})
    {'waits': 'retry', 'attribute': 'total>=10'}
    """
    told = {name: _word_of(value) for name, value in wanted.items() if name not in ("value", "value_before")}
    if "attribute" in wanted:
        low, before = str(wanted.get("value", "")), wanted.get("value_before")
        told["attribute"] += _condition_of(low, None if before is None else str(before)) if values else "=…"
    return told


def _word_of(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case WaitReason():
            return ",".join(name for name, each in _WAITS.items() if each in value)
        case datetime():
            return value.isoformat()
        case timedelta():
            return length_in_words(value)
        case _:
            return str(value)


def _condition_of(low: str, before: str | None) -> str:
    """The sign and the value of a condition, out of the texts that are stored."""
    if before is None:
        return f"={_written(low)}"
    if len(before) == 1:  # the place behind all values of the type
        return f">={_written(low)}"
    high = _written(before[: -len(after(""))])
    return f"<={high}" if len(low) == 1 else f"={_written(low)}..{high}"


def _written(text: str) -> str:
    try:
        value = value_in(text)
    except StoredDataError:  # of a later build
        return text
    return _word_of(f"{value:f}" if isinstance(value, Decimal) else value)


def condition_from(text: str, kinds: Mapping[str, ValueKind]) -> HasValue:
    """Read a condition on an attribute. `kinds` are those of the attributes that are known, by their names.

    >>> condition_from("total:decimal=10..20", {}).attribute
    'total'
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise PayloadError(f"{shown(text)} is no condition on an attribute", hint=_WRITTEN)
    name, tp, sign, value = (each or "" for each in found.groups())
    if tp and tp not in _TYPES:
        raise PayloadError(f"{shown(tp)} is no type of an attribute", hint=f"its type is one of {', '.join(_TYPES)}")
    kind = _TYPES[tp] if tp else kinds.get(name.strip(), ValueKind.TEXT)
    return _of_kind(kind, name.strip(), sign, value.strip())


def _of_kind(kind: ValueKind, name: str, sign: str, value: str) -> HasValue:
    match kind:
        case ValueKind.TEXT:
            return _condition(name, str, str, sign, value, is_ordered=False)
        case ValueKind.WHOLE:
            return _condition(name, int, int, sign, value)
        case ValueKind.FLAG:
            flag = partial(value_of, TextField(name, FieldKind.FLAG, ""))
            return _condition(name, bool, lambda text: bool(flag(text)), sign, value)
        case ValueKind.MOMENT:
            moment = partial(value_of, TextField(name, FieldKind.TIME, ""))
            return _condition(name, datetime, lambda text: cast("datetime", moment(text)), sign, value)
        case ValueKind.DAY:
            return _condition(name, date, date.fromisoformat, sign, value)
        case ValueKind.NUMBER:
            return _condition(name, Decimal, Decimal, sign, value)
        case ValueKind.ID:
            return _condition(name, UUID, UUID, sign, value)
        case _:
            assert_never(kind)


def _condition(
    name: str, tp: type[V], read: Callable[[str], V], sign: str, text: str, *, is_ordered: bool = True
) -> HasValue:
    """The condition, of an attribute whose values are written as `read` reads them. A text may hold two dots."""
    low, dots, high = text.partition("..")
    try:
        attribute = Attribute(name, tp)
        if sign == ">=":
            return attribute.at_least(read(text))
        if sign == "<=":
            return attribute.at_most(read(text))
        if dots and is_ordered:
            return attribute.between(read(low.strip()), read(high.strip()))
        return attribute.equals(read(text))
    except SagaDefinitionError as error:
        raise PayloadError(error.fact, hint=_WRITTEN) from None
    except (ValueError, InvalidOperation):
        raise PayloadError(
            f"attribute {shown(name)} has no value {shown(text)}: {with_article(tp.__name__)} is wanted", hint=_WRITTEN
        ) from None
