"""The JSON that older builds may have written of a value: the same JSON without fields that they did not know.

The fingerprint of an input tells whether one of these is what was written, where nothing but the fingerprint was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice
from typing import Final, TypeAlias

import msgspec

from saga_fn.codec.containers import is_dict, is_list, is_sequence, is_set
from saga_fn.codec.fields import Fields, fields_of, held
from saga_fn.codec.models import encode

_Place: TypeAlias = tuple[type[object], str]
"""A field of a class, by the key that it is stored under."""
_MOST: Final = 512
"""Forms that are tried: all, where up to nine fields may have been added."""


def older_forms(
    data: Sequence[bytes], values: Sequence[object], means: Callable[[bytes, object], bool]
) -> Iterator[list[bytes]]:
    """The JSON of the values, all without the same fields; those have their defaults in each of the values.

    `means` says whether a JSON text is read as that value.
    """
    plain: list[object] = [msgspec.json.decode(each) for each in data]
    both = list(zip(plain, values, strict=True))
    places = dict.fromkeys(place for value in values for place in _defaulted(value))
    added = [place for place in places if all(means(_without(one, its, (place,)), its) for one, its in both)]
    dropped = (chosen for size in range(1, len(added) + 1) for chosen in combinations(added, size))
    for chosen in islice(dropped, _MOST):
        yield [_without(one, its, chosen) for one, its in both]


def _defaulted(value: object) -> Iterator[_Place]:
    """Every field within the value that has a default."""
    if is_dict(value):
        for inside in value.values():
            yield from _defaulted(inside)
    elif is_sequence(value) or is_set(value):
        for inside in value:
            yield from _defaulted(inside)
    else:
        for field, inside in held(value):
            if field.defaulted:
                yield type(value), field.stored
            yield from _defaulted(inside)


def _without(plain: object, value: object, places: Sequence[_Place]) -> bytes:
    return encode(_left(plain, value, frozenset(places)))


def _left(plain: object, value: object, places: frozenset[_Place]) -> object:
    fields = fields_of(type(value))
    if is_dict(value) and is_dict(plain):
        if len(plain) == len(value):
            return {key: _left(one, its, places) for (key, one), its in zip(plain.items(), value.values(), strict=True)}
    elif is_sequence(value) and is_list(plain):
        if len(plain) == len(value):
            return [_left(one, its, places) for one, its in zip(plain, value, strict=True)]
    elif fields is not None and is_dict(plain):
        return _left_object(plain, value, fields, places)
    return plain


def _left_object(
    plain: dict[object, object], value: object, fields: Fields, places: frozenset[_Place]
) -> dict[object, object]:
    by_key: dict[object, object] = {field.stored: getattr(value, field.attribute, None) for field in fields.each}
    return {
        key: _left(one, by_key[key], places) if key in by_key else one
        for key, one in plain.items()
        if (type(value), key) not in places
    }
