"""Forms from the fields that verbs and filters have: one input for each kind of field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, assert_never

import htpy as h
from htpy import Node

from saga_fn import PayloadError
from saga_fn.admin.text_fields import FieldKind, TextField, parts_of, text_of, value_of
from saga_fn.errors import shown

VERB = "verb-"
"""Goes before the name of each field of a verb, for a filter has fields of the same names."""


def inputs(
    fields: Iterable[TextField],
    given: Mapping[str, str],
    *,
    prefix: str = "",
    steps: Sequence[str] = (),
    named: Sequence[str] = (),
    show_help: bool = True,
) -> Node:
    """The inputs of these fields, filled with what was given.

    `steps` are the ids that a step may have, `named` those that a list of steps may have; it is a line of text without them.
    """
    listed = h.datalist(id="steps")[(h.option(value=step) for step in steps)] if steps else None
    return [
        listed,
        [
            _ticks(field, given.get(prefix + field.name, ""), prefix + field.name, named)
            if field.kind is FieldKind.STEPS and named
            else _field(field, given.get(prefix + field.name, ""), prefix + field.name, show_help=show_help)
            for field in fields
        ],
    ]


def _field(field: TextField, given: str, name: str, *, show_help: bool) -> Node:
    return h.label(class_="field" if show_help else None, title=None if show_help else field.summary)[
        h.span[field.name.replace("_", " ")],
        _input(field, given, name),
        h.small[field.summary] if show_help else None,
    ]


def _ticks(field: TextField, given: str, name: str, named: Sequence[str]) -> Node:
    """A list of steps to be ticked one by one: each has to be meant."""
    ticked = parts_of(given)
    return h.fieldset(".field")[
        h.legend[field.name],
        [
            h.label(".tick")[
                h.input(type="checkbox", name=name, value=text_of([each]), checked=each in ticked), " ", h.code[each]
            ]
            for each in dict.fromkeys(named)
        ],
        h.small[field.summary],
    ]


def _input(field: TextField, given: str, name: str) -> Node:
    match field.kind:
        case FieldKind.JSON:
            return h.textarea(name=name, spellcheck="false", autocomplete="off")[given]
        case FieldKind.FLAG:
            return _select(name, given, ("true", "false"))
        case FieldKind.CHOICE | FieldKind.CHOICES:
            return _select(name, given, field.choices)
        case FieldKind.WHOLE:
            return _line(field, name, given, inputmode="numeric")
        case FieldKind.TIME:
            return _line(field, name, given, placeholder="2026-11-29T06:00 (UTC)")
        case FieldKind.LENGTH:
            return _line(field, name, given, placeholder="15m, 2h, 7d")
        case FieldKind.STEP | FieldKind.STEPS:
            return _line(field, name, given, list="steps")
        case FieldKind.TEXT | FieldKind.CONDITION:
            return _line(field, name, given)
        case _:
            assert_never(field.kind)


def _line(field: TextField, name: str, given: str, **more: str) -> Node:
    return h.input(
        {"required": field.is_required, **more}, name=name, value=given, autocomplete="off", spellcheck="false"
    )


def _select(name: str, given: str, choices: Sequence[str]) -> Node:
    """All choices; and what was given, if it is none of them, as several at once are."""
    known = choices if not given or given in choices else (*choices, given)
    return h.select(name=name)[
        h.option(value=""), (h.option(value=each, selected=each == given)[each] for each in known)
    ]


def reason_in(form: Mapping[str, str]) -> str:
    """The operator's reason. Raises PayloadError if none is given: a later reader of the journal has nothing else."""
    reason = form.get("reason", "").strip()
    if not reason:
        raise PayloadError("a reason is needed", hint="say why, for those who read the journal later")
    return reason


CHANGED: Final = PayloadError(
    "the fields are not those that were shown beforehand, and nothing was done",
    hint="see below what would come of them now, then do it",
)
"""Told instead of doing what the operator has seen no preview of."""


def number_in(form: Mapping[str, str], name: str, *, least: int, most: int, default: int | None = None) -> int:
    """A whole number. Raises PayloadError for what is none, and for one out of its range."""
    given = form.get(name, "").strip()
    if not given and default is not None:
        return default
    number = value_of(TextField(name, FieldKind.WHOLE, "A whole number."), given)
    if not isinstance(number, int) or not least <= number <= most:
        raise PayloadError(f"{name} is out of its range: {shown(given)}", hint=f"{least:,} to {most:,}")
    return number
