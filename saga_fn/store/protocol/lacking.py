"""Whether an object is a store, and what it lacks to be one."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import get_args, get_type_hints

from typing_extensions import TypeIs, is_protocol

from saga_fn.store.protocol.store import Store


def is_store(given: object) -> TypeIs[Store]:
    """Whether it has all that a store has."""
    return not lacking_in(given)


def lacking_in(given: object) -> list[str]:
    """Name the methods that it lacks to be a store, those of its parts behind a dot."""
    lacking = [name for name in _members(Store) if not hasattr(given, name)]
    for name, kind, is_optional in _parts():
        part: object = getattr(given, name, None)
        if part is not None or not is_optional:
            lacking += [f"{name}.{member}" for member in _members(kind) if not hasattr(part, member)]
    return lacking


def _parts() -> Iterator[tuple[str, type, bool]]:
    """Each property of a store that is a protocol itself; that protocol; and whether None may stand there."""
    for name, member in vars(Store).items():
        if isinstance(member, property):
            hint: object = get_type_hints(member.fget)["return"]
            kinds: tuple[object, ...] = get_args(hint) or (hint,)
            for kind in kinds:
                if isinstance(kind, type) and is_protocol(kind):
                    yield name, kind, NoneType in kinds


def _members(protocol: type) -> list[str]:
    return [name for name in vars(protocol) if not name.startswith("_")]
