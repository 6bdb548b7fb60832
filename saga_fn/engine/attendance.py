"""Who works on the sagas of a store that no other process can reach: workers on all of them, or callers on their own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import final

from saga_fn.store.protocol import Store


@final
class _Caller:
    """One who works on what he was asked for, for as long as his call lasts."""


@contextmanager
def attending(store: Store) -> Generator[None]:
    """Count the caller as one who works on sagas of this store, while the block lasts."""
    attendants = store.attendants
    if attendants is None:
        yield
        return
    this = _Caller()
    attendants.add(this)
    try:
        yield
    finally:
        attendants.discard(this)


def has_workers(store: Store) -> bool:
    """Whether a process works on every saga of this store that is due. A caller does not: his call may end before a saga does."""
    return any(not isinstance(each, _Caller) for each in store.attendants or ())
