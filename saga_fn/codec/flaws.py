"""Parts of a value that JSON would lose, and equality cannot see: searched for, where the type can hold it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, time
from decimal import Decimal

import msgspec

from saga_fn.codec.containers import is_dict, is_sequence, is_set
from saga_fn.codec.fields import held
from saga_fn.errors import PayloadError


class Flaw(msgspec.Struct, frozen=True):
    """Why a value cannot be stored."""

    fact: str
    path: str
    hint: str

    def as_error(self, name: str) -> PayloadError:
        """The error that tells it of a value of that type."""
        return PayloadError(f"this {name} cannot be stored: {self.fact} at {self.path}", path=self.path, hint=self.hint)


def first_flaw(value: object) -> Flaw | None:
    """The first thing in the value that JSON would lose. Paths name fields, never the keys of a dict: those are data."""
    return next(_flaws(value, "$"), None)


def _flaws(value: object, path: str) -> Iterator[Flaw]:
    match value:
        case float() if not math.isfinite(value):
            hint = "use None" if math.isnan(value) else "use None, or a Decimal, which can be infinite"
            yield Flaw(f"{value} has no form in JSON", path, hint)
        case Decimal() if value.is_nan():
            yield Flaw("a NaN is not equal to itself", path, "use None")
        case datetime() if value.utcoffset() is None:
            yield Flaw("a datetime has no time zone", path, "make it aware, as in datetime.now(timezone.utc)")
        case time() if value.tzinfo is not None and value.utcoffset() is None:
            yield Flaw(
                "a time has a zone and no day, so no offset", path, "store a datetime, or the zone's name beside it"
            )
        case time() if value.fold:
            yield Flaw("a time's fold has no form in JSON", path, "store a datetime, or the time with fold=0")
        case str() if not _is_utf8(value):
            yield Flaw(
                "a lone surrogate is no valid text",
                path,
                "decode bytes with errors='replace', or store them as bytes",
            )
        case _ if is_dict(value):
            for key, item in value.items():
                yield from _flaws(key, f"{path} (key)")
                yield from _flaws(item, f"{path}[...]")
        case _ if is_sequence(value) or is_set(value):
            for place, item in enumerate(value):
                yield from _flaws(item, f"{path}[{place}]")
        case _:
            for field, inside in held(value):
                yield from _flaws(inside, f"{path}.{field.attribute}")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
