"""The little that the store asks of a database driver, as Protocols.

`asyncpg.Connection`, `asyncpg.Pool` and the proxy that a pool hands out satisfy them, with and without
`asyncpg-stubs` installed, so that no public signature has to name an untyped library.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable


class Connection(Protocol):
    """One connection to PostgreSQL, with asyncpg's verbs and its `$1` parameters."""

    async def execute(self, query: str, /, *args: object) -> str:
        """Run a statement and give its command tag, such as `UPDATE 3`."""
        ...

    # Any, here and below: a driver's record, unpacked by position.
    async def fetch(self, query: str, /, *args: object) -> Sequence[Any]:
        """Run a statement and give its rows; each can be unpacked by position."""
        ...

    async def fetchrow(self, query: str, /, *args: object) -> Any:
        """Run a statement and give its first row, or None."""
        ...

    # Any: without asyncpg-stubs `transaction()` gives a class whose methods have no annotations at all.
    def transaction(self) -> AbstractAsyncContextManager[Any, Any]:
        """A transaction that commits when its block ends and rolls back when it raises."""
        ...


@runtime_checkable
class Pool(Protocol):
    """A pool that lends connections."""

    # Any, not Connection: pyright refuses a real `asyncpg.Pool` for the latter when asyncpg-stubs are absent, because
    # asyncpg's own `acquire` has no annotations and what it gives is then inferred as a class of its own.
    def acquire(self) -> AbstractAsyncContextManager[Any, Any]:
        """Borrow a connection for the length of a block."""
        ...
