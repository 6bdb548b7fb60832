"""Connections of the tests that cost less: the driver asks the server for a type once a process, not once a connection.

What it asks takes the server longer than all else that a test does on a connection. The types are PostgreSQL's own, whose numbers
are the same in each version. A test of what is asked calls `ask_again`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

import asyncpg

LAST_GIVEN_BY_HAND: Final = 9999
"""The last number of a type that PostgreSQL brings along; a server or a user gives the later ones."""
_NAMED: Final = SimpleNamespace(name="not asked")
"""The place of the statement that would have been asked with: as it has a name, no other's place was taken."""

_METHOD: Final = "_introspect_types"
"""The driver's own; its types say nothing of it, and what it takes and gives is Any here."""
_asks: Final[Any] = getattr(asyncpg.Connection, _METHOD)
_known: dict[frozenset[int], Any] = {}


async def _remembers(self: Any, typeoids: Iterable[int], timeout: float | None) -> Any:
    wanted = frozenset(typeoids)
    if max(wanted) > LAST_GIVEN_BY_HAND:
        return await _asks(self, typeoids, timeout)
    if wanted in _known:
        return _known[wanted], _NAMED
    answer: tuple[Any, Any] = await _asks(self, typeoids, timeout)
    _known[wanted], _ = answer
    return answer


def remember_types() -> None:
    """Ask once a process from now on."""
    setattr(asyncpg.Connection, _METHOD, _remembers)


@contextmanager
def ask_again() -> Generator[None]:
    """Let each connection ask, as it does where the library is used."""
    setattr(asyncpg.Connection, _METHOD, _asks)
    try:
        yield
    finally:
        remember_types()
