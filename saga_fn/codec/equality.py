"""When a value is the one that was stored: by its own equality, but for local times, which Python compares by the zone.

In the hour that comes twice a time of a zone equals none of another zone, not even itself with a fixed offset (PEP 495).
The datetime that comes back has a fixed offset; it is the same if it shows the same clock with the same offset.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import cast

from saga_fn.codec.fields import fields_of, held, is_model


def same(one: object, other: object) -> bool:
    """Whether the two are equal, local times taken by their instant and offset."""
    return bool(one == other) or ((_has_local_time(one) or _has_local_time(other)) and _alike(one, other))


def _alike(one: object, other: object) -> bool:
    if isinstance(one, datetime) and isinstance(other, datetime):
        return _fixed(one) == _fixed(other)
    if type(one) is not type(other):
        return bool(one == other)
    match one:
        case dict():
            ours, theirs = cast("tuple[dict[object, object], dict[object, object]]", (one, other))
            if ours.keys() == theirs.keys():
                return all(_alike(item, theirs[key]) for key, item in ours.items())
            return _all_alike([*ours.keys(), *ours.values()], [*theirs.keys(), *theirs.values()])
        case list() | tuple() | deque():
            return _all_alike(cast("list[object]", one), cast("list[object]", other))
        case set() | frozenset():
            mine, its = cast("tuple[set[object], set[object]]", (one, other))
            return {_fixed(each) for each in mine} == {_fixed(each) for each in its}
        case _:
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
    match value:
        case datetime():
            return value.utcoffset() != value.replace(fold=not value.fold).utcoffset()
        case dict():
            pairs = cast("dict[object, object]", value)
            return any(_has_local_time(each) for pair in pairs.items() for each in pair)
        case list() | tuple() | set() | frozenset() | deque():
            return any(map(_has_local_time, cast("list[object]", value)))
        case _:
            return any(_has_local_time(inside) for _, inside in held(value))


def changed(one: object, other: object, path: str = "$") -> str:
    """Where the two differ, as deep as can be told."""
    if type(one) is not type(other):
        return path
    pairs: Iterable[tuple[str, object, object]] = ()
    match one:
        case dict():
            theirs = cast("dict[object, object]", other)
            pairs = [("[...]", item, theirs.get(key)) for key, item in cast("dict[object, object]", one).items()]
        case list() | tuple() | deque():
            both = zip(cast("list[object]", one), cast("list[object]", other), strict=False)
            pairs = [(f"[{place}]", *pair) for place, pair in enumerate(both)]
        case _:
            pairs = [
                (f".{field.attribute}", inside, getattr(other, field.attribute, None)) for field, inside in held(one)
            ]
    for step, mine, its in pairs:
        if not same(mine, its):
            return changed(mine, its, path + step)
    return path
