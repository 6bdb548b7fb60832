"""How a business error that is an exception is stored whole: as a record of its fields, if it declares them."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import attrs
import msgspec

from saga_fn.codec import PayloadType
from saga_fn.definition.signature import hints_of
from saga_fn.errors import TypeValidationError


@attrs.frozen
class Kept:
    """An exception with declared fields (a dataclass or an attrs class), as a record of them."""

    cls: type[BaseException]
    names: tuple[str, ...]
    record: PayloadType[Any]  # Any: made at run time

    def encode(self, error: BaseException) -> bytes:
        """The exception as JSON. Raises PayloadError."""
        values = {name: getattr(error, name) for name in self.names}
        return self.record.encode(self.record.accept(values))

    def decode(self, data: bytes) -> BaseException:
        """The exception that was stored so. Raises PayloadError."""
        record = self.record.decode(data)
        return self.cls(**{name: getattr(record, name) for name in self.names})


_KNOWN: Final[dict[type[BaseException], Kept | None]] = {}


def kept_of(cls: type[BaseException]) -> Kept | None:
    """How the exception is stored whole; None if it does not declare what it is made of, or that cannot be stored."""
    if cls not in _KNOWN:
        _KNOWN[cls] = _record_of(cls)
    return _KNOWN[cls]


def _record_of(cls: type[BaseException]) -> Kept | None:
    names = _fields(cls)
    if names is None:
        return None
    try:
        hints = hints_of(cls)
        record = msgspec.defstruct(cls.__name__, [(name, hints[name]) for name in names], frozen=True)
        return Kept(cls, names, PayloadType.of(record))
    except (TypeValidationError, KeyError, TypeError, ValueError):
        return None


def _fields(cls: type) -> tuple[str, ...] | None:
    """What an instance is made of and made with; None for a class that does not say."""
    if attrs.has(cls):
        return tuple(field.name for field in attrs.fields(cls) if field.init and field.alias == field.name)
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls) if field.init)
    return None
