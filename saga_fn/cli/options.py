"""Options out of described fields: a command takes those of a verb or of a filter, and gets their texts by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Final, TypeAlias, get_type_hints

from cyclopts import Parameter

from saga_fn.admin.text_fields import FieldKind, TextField, parts_of, text_of
from saga_fn.codec.containers import is_tuple

Texts: TypeAlias = dict[str, str]
_MORE_NAMES: Final = {"saga_name": ("--saga-name", "--name"), "aggregation_id": ("--aggregation-id", "--key")}
_LISTS: Final = (FieldKind.STEPS, FieldKind.CHOICES)
"""Kinds whose texts are lists: an option of theirs may be given again, with one more of it."""


def with_fields(
    command: Callable[..., object], groups: Mapping[str, Iterable[TextField]], *, name: str
) -> Callable[..., object]:
    """A command whose parameters `groups` are replaced by options, one for each field.

    A required field stands by its place, all others by their names. If two groups have a field of one name, that of the later
    group is called by the group's name and its own. `command` gets the texts of each group as a dict.
    """
    own = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    places: list[inspect.Parameter] = []
    named: list[inspect.Parameter] = []
    for each in own.parameters.values():
        if each.name not in groups:
            kept = each.replace(annotation=hints[each.name])
            (named if each.kind is inspect.Parameter.KEYWORD_ONLY else places).append(kept)
    sources: dict[str, tuple[str, str]] = {}
    taken: set[str] = set()
    for group, fields in groups.items():
        for field in fields:
            unique = f"{field.name}_" if field.name in sources else field.name  # the help leaves the underscore out
            sources[unique] = group, field.name
            if field.is_required:
                places.append(_place(unique, field))
            else:
                option = field.option if field.option not in taken else f"{group}-{field.option}"
                taken.add(option)
                named.append(_named(unique, field, option))

    def called(*given: object, **options: object) -> object:
        texts: dict[str, Texts] = {group: {} for group in groups}
        bound = signature.bind(*given, **options).arguments
        for unique, (group, field_name) in sources.items():
            value = bound.pop(unique, None)
            if value is not None:
                texts[group][field_name] = _text(value)
        by_place = [
            bound.pop(each.name, each.default)
            for each in own.parameters.values()
            if each.kind is inspect.Parameter.POSITIONAL_ONLY
        ]
        return command(*by_place, **bound, **texts)

    signature = inspect.Signature([*places, *named])
    called.__name__ = name
    called.__doc__ = command.__doc__
    called.__signature__ = signature  # type: ignore[attr-defined]  # what inspect goes by; functions may have it
    called.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return called


def _text(given: object) -> str:
    """The text of what was given for a field; of an option that was given several times, one list."""
    if not is_tuple(given):
        return str(given)
    return text_of([part for each in given for part in parts_of(str(each))])


def _place(name: str, field: TextField) -> inspect.Parameter:
    annotation = Annotated[str, Parameter(help=field.summary)]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY, annotation=annotation)


def _named(name: str, field: TextField, option: str) -> inspect.Parameter:
    told = f"{field.summary} One of {', '.join(field.choices)}." if field.choices else field.summary
    names = _MORE_NAMES.get(field.name, (f"--{option}",))
    tp = tuple[str, ...] if field.kind in _LISTS else str
    annotation: object = Annotated[tp | None, Parameter(name=names, negative=(), help=told, show_default=False)]
    if field.kind is FieldKind.FLAG:
        annotation = Annotated[
            bool | None, Parameter(name=names, negative=f"--no-{option}", help=told, show_default=False)
        ]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=None)
