"""The transactions of transactional steps in a World: there is no database, so a fake stands in for what such a step does.

The result of the step is committed as it is elsewhere: in one write, which is there or is not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NoReturn, final

from saga_fn.store.ids import shard_of
from saga_fn.store.memory import MemoryStore
from saga_fn.store.records import Committed, SagaWrite
from saga_fn.testing.calls import WorldError


@final
class NoConnection:
    """Stands for the connection of a transactional step: it can be given to a fake, and nothing can be done by it."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise WorldError(
            f"a transactional step has asked for connection.{name}, and a World has no database",
            hint="fake the step: world.fake(book, returns=...), with an output of its type",
        )


@final
class _Open:
    """An open transaction, in which only the result of the step is written."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.connection: Any = NoConnection()  # Any: it stands for a driver's
        self.is_broken: bool = False

    def is_outdated(self, error: BaseException) -> bool:  # noqa: ARG002 - as the protocol says
        """Never: there are no tables."""
        return False

    def was_cut(self, error: BaseException) -> bool:  # noqa: ARG002 - as the protocol says
        """Never: there are no statements."""
        return False

    def leave(self) -> None:
        """Nothing was done by it."""

    async def has_ended(self) -> bool:
        """Never: no code could end it."""
        return False

    async def check(self) -> None:
        """It can always be written in."""

    async def write(self, write: SagaWrite) -> Committed:
        """Write the result. It is there at once: nothing comes between this and the commit."""
        return await self._store.commit(shard_of(write.id, self._store.shards), [write])

    async def commit(self) -> None:
        """It is there already."""


@final
class NoDatabase:
    """The transactions of a World's store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def check_room(self) -> None:
        """There is always room."""

    @asynccontextmanager
    async def open(self, *, isolation: str, seconds: float | None, name: str) -> AsyncGenerator[_Open]:
        """Open one."""
        del isolation, seconds, name
        yield _Open(self._store)
