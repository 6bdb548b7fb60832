"""When a value is the one that was stored: by its own equality, but for local times, which Python compares by the zone.

In the hour that comes twice a time of a zone equals none of another zone, not even itself with a fixed offset (PEP 495).
The datetime that comes back has a fixed offset; it is the same if it shows the same clock with the same offset.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from saga_fn.codec.containers import is_dict, is_sequence, is_set
from saga_fn.codec.fields import fields_of, held, is_model


def same(one: object, other: object) -> bool:
    """Whether the two are equal, local times taken by their instant and offset."""
    return bool(one == other) or ((_has_local_time(one) or _has_local_time(other)) and _alike(one, other))


def _alike(one: object, other: object) -> bool:
    if isinstance(one, datetime) and isinstance(other, datetime):
        return _fixed(one) == _fixed(other)
    if type(one) is not type(other):
        return bool(one == other)
    if is_dict(one) and is_dict(other):
        if one.keys() == other.keys():
            return all(_alike(item, other[key]) for key, item in one.items())
        return _all_alike([*one.keys(), *one.values()], [*other.keys(), *other.values()])
    if is_sequence(one) and is_sequence(other):
        return _all_alike(one, other)
    if is_set(one) and is_set(other):
        return {_fixed(each) for each in one} == {_fixed(each) for each in other}
    found = fields_of(type(one))
    if found is None:
        return bool(one == other)
    names = [field.attribute for field in found.each if field.compared]
    extra = ["__pydantic_private__", "__pydantic_extra__"] if is_model(type(one)) else []
    return all(_alike(getattr(one, name, None), getattr(other, name, None)) for name in (*names, *extra))


def _all_alike(one: Collection[object], other: Collection[object]) -> bool:
    return len(one) == len(other) and all(_alike(each, its) for each, its in zip(one, other, strict=True))


def _fixed(value: object) -> object:
    """A time as what its clock and its offset show; anything else as it is."""
    if not isinstance(value, datetime):
        return value
    offset = value.utcoffset()
    return value if offset is None else (value.replace(tzinfo=None, fold=0), offset)


def _has_local_time(value: object) -> bool:
    """Whether there is a time in it whose offset its zone decides by the fold."""
    if isinstance(value, datetime):
        return value.utcoffset() != value.replace(fold=not value.fold).utcoffset()
    if is_dict(value):
        return any(_has_local_time(each) for pair in value.items() for each in pair)
    if is_sequence(value) or is_set(value):
        return any(map(_has_local_time, value))
    return any(_has_local_time(inside) for _, inside in held(value))


def changed(one: object, other: object, path: str = "$") -> str:
    """Where the two differ, as deep as can be told."""
    if type(one) is not type(other):
        return path
    pairs: list[tuple[str, object, object]]
    if is_dict(one) and is_dict(other):
        pairs = [("[...]", item, other.get(key)) for key, item in one.items()]
    elif is_sequence(one) and is_sequence(other):
        pairs = [(f"[{place}]", *pair) for place, pair in enumerate(zip(one, other, strict=False))]
    else:
        pairs = [(f".{field.attribute}", inside, getattr(other, field.attribute, None)) for field, inside in held(one)]
    for step, mine, its in pairs:
        if not same(mine, its):
            return changed(mine, its, path + step)
    return path
