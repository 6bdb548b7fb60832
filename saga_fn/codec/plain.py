"""JSON side by side with the value it stands for: what of it was not read, and how it is put in order.

A value that people write may not name a field that there is not. A stored one may: a newer build wrote it, or an older one, which
knew nothing of a field that there is now. Only both at once in one object look like a field that was renamed, whose value
would be lost for a default.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec

from saga_fn.codec.containers import is_dict, is_list, is_sequence, is_set, is_tuple
from saga_fn.codec.fields import Fields, fields_of, is_model
from saga_fn.codec.models import encode
from saga_fn.codec.words import type_name

_SHOWN = 64


class Unread(msgspec.Struct, frozen=True):
    """An object of which not everything was read."""

    path: str
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    """The fields that have their defaults for want of a value."""
    stranger: str | None = None
    """It is no JSON, but an object of another class."""

    @property
    def refused(self) -> str:
        """The fault of a value that people write, where a field that has a default may be missing."""
        if self.stranger is not None:
            return f"a {self.stranger} stands where another type is wanted"
        return f"there is no field {', '.join(map(_quoted, self.unknown))}"

    @property
    def fact(self) -> str:
        """The fault of a value that was stored."""
        return (
            f"{self.refused}, and {', '.join(map(_quoted, self.missing))} is missing" if self.missing else self.refused
        )


def _quoted(name: str) -> str:
    """A field's name; what cannot be one may be data."""
    return repr(name) if name.isidentifier() and len(name) <= _SHOWN else "(a key that is no name)"


def unread(plain: object, value: object, path: str = "$") -> Iterator[Unread]:
    """Every object within `plain` that has more than was read into `value`."""
    if is_dict(value):
        if is_dict(plain):
            yield from _of_dict(plain, value, path)
    elif is_sequence(value):
        if is_sequence(plain) and len(plain) == len(value):
            yield from _of_items(plain, value, path)
    elif is_set(value):
        if is_sequence(plain) or is_set(plain):
            yield from _of_set(plain, value, path)
    elif (found := fields_of(type(value))) is not None:
        yield from _of_object(plain, value, found, path)


def _of_items(plain: Iterable[object], value: Iterable[object], path: str) -> Iterator[Unread]:
    for place, (one, its) in enumerate(zip(plain, value, strict=True)):
        yield from unread(one, its, f"{path}[{place}]")


def _of_set(plain: Iterable[object], value: Collection[object], path: str) -> Iterator[Unread]:
    """A set has no order to go by: its objects are judged by their class, if they are of one."""
    classes = {type(each) for each in value}
    found = fields_of(classes.pop()) if len(classes) == 1 else None
    if found is not None and found.positional is None and not found.open:
        for one in plain:
            if is_dict(one):
                yield from _keys(one, found, f"{path}[...]")


def _of_dict(plain: dict[object, object], value: dict[object, object], path: str) -> Iterator[Unread]:
    if value.keys() <= plain.keys():
        unknown = tuple(str(key) for key in plain if key not in value)
        if unknown:  # a TypedDict
            yield Unread(path, unknown, ())
        for key, inside in value.items():
            yield from unread(plain[key], inside, f"{path}[...]")
    elif len(plain) == len(value):  # its keys are no strings
        for one, its in zip(plain.values(), value.values(), strict=True):
            yield from unread(one, its, f"{path}[...]")


def _of_object(plain: object, value: object, found: Fields, path: str) -> Iterator[Unread]:
    if is_dict(plain):
        if not found.open:
            yield from _keys(plain, found, path)
        for field in found.each:
            for name in field.names & plain.keys():
                yield from unread(plain[name], getattr(value, field.attribute, None), f"{path}.{field.attribute}")
    elif is_list(plain) or is_tuple(plain):
        if found.positional is not None:
            inside = [getattr(value, field.attribute) for field in found.each]
            places = plain[found.positional :]
            if len(places) > len(inside):
                yield Unread(path, (f"[{found.positional + len(inside)}]",), ())
            yield from _of_items(places[: len(inside)], inside[: len(places)], path)
        elif is_model(type(value)) and found.each:  # a root model
            yield from unread(plain, getattr(value, found.each[0].attribute), path)
    elif fields_of(type(plain)) is not None and not isinstance(plain, type(value)):
        yield Unread(path, (), (), type_name(type(plain)))


def _keys(plain: dict[object, object], found: Fields, path: str) -> Iterator[Unread]:
    unknown = tuple(str(key) for key in plain if key not in found.known)
    if unknown:
        missing = (field.stored for field in found.each if field.defaulted and field.names.isdisjoint(plain))
        yield Unread(path, unknown, tuple(missing))


# --- putting in order -----------------------------------------------------------------------------------------------


def arranged(data: bytes, value: object) -> bytes:
    """The JSON of `value` with its sets in one order, in every process, and with no field left out for its default."""
    return encode(_arranged(msgspec.json.decode(data), value))


def _arranged(plain: object, value: object) -> object:
    if is_dict(value):
        if not is_dict(plain) or len(plain) != len(value):
            return plain
        return {key: _arranged(one, its) for (key, one), its in zip(plain.items(), value.values(), strict=True)}
    if is_sequence(value) or is_set(value):
        if not is_list(plain) or len(plain) != len(value):
            return plain
        found = [_arranged(one, its) for one, its in zip(plain, value, strict=True)]
        return sorted(found, key=encode) if is_set(value) else found
    fields = fields_of(type(value))
    if fields is None:
        return plain
    if is_dict(plain):
        return _arranged_object(plain, value, fields)
    if is_list(plain) and fields.positional is not None:
        return _arranged_places(plain, value, fields, fields.positional)
    if is_list(plain) and is_model(type(value)) and fields.each:  # a root model
        return _arranged(plain, getattr(value, fields.each[0].attribute))
    return plain


def _arranged_places(plain: list[object], value: object, fields: Fields, tags: int) -> list[object]:
    inside = [getattr(value, field.attribute) for field in fields.each]
    found = [_arranged(one, its) for one, its in zip(plain[tags:], inside, strict=False)]
    added = [_filled(its) for its in inside[len(found) :]]
    return [*plain[:tags], *found, *added]


def _arranged_object(plain: dict[object, object], value: object, fields: Fields) -> dict[object, object]:
    known: dict[object, object] = {}
    for field in fields.each:
        inside = getattr(value, field.attribute, msgspec.UNSET)
        if field.stored in plain:
            known[field.stored] = _arranged(plain[field.stored], inside)
        elif fields.omits and field.defaulted and inside is not msgspec.UNSET:
            known[field.stored] = _filled(inside)
    others = {key: item for key, item in plain.items() if key not in known}
    return {**others, **known}


def _filled(inside: object) -> object:
    """The fields that were left out, as they would have been encoded."""
    return _arranged(msgspec.json.decode(encode(inside)), inside)
