"""Looks at what many callers ask for, each for itself: those of one moment share a statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar, final
from uuid import UUID

from saga_fn.engine.commit.batching import Batcher, by_halves, telling_all
from saga_fn.errors import StoreError, StoreRefusedError, StoreUnavailableError
from saga_fn.store.errors import RowRejectedError, StatementFailedError, StoreBusyError
from saga_fn.store.ids import new_uuid

Q = TypeVar("Q")
A = TypeVar("A")

_SIZE: Final = 64
"""Bytes that a question takes, about: there are so few that the number of questions bounds a batch."""


class _Look(Generic[Q, A]):
    __slots__ = ("asked", "found", "id", "size")

    def __init__(self, asked: Q) -> None:
        self.id: UUID = new_uuid()  # none is left out of a batch for another's sake
        self.asked = asked
        self.size = _SIZE
        self.found: asyncio.Future[A] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        if not self.found.done():
            cut = StoreUnavailableError("a look that others shared was cut short", hint="call it again")
            self.found.set_exception(error if isinstance(error, StoreError) else cut)


@final
class Looks(Generic[Q, A]):
    """Asks many questions of one kind in one statement."""

    def __init__(self, ask: Callable[[int, Sequence[Q]], Awaitable[Sequence[A]]]) -> None:
        """`ask` takes a shard and questions, and gives the answers in their order."""
        self._ask = ask
        self._batcher: Batcher[_Look[Q, A]] = Batcher(self._send, max_in_flight=1)

    async def find(self, shard: int, asked: Q) -> A:
        """The answer. Raises StoreError if the store does not tell."""
        look: _Look[Q, A] = _Look(asked)
        self._batcher.add(shard, look)
        return await look.found

    async def stop(self, patience: float) -> None:
        """Wait `patience` seconds for what was asked, then cut it short."""
        await self._batcher.stop(patience)

    async def _send(self, shard: int, batch: list[_Look[Q, A]]) -> None:
        refusals = (RowRejectedError, StoreBusyError, StoreRefusedError, StatementFailedError)
        with telling_all(batch, _fail):
            await by_halves(batch, partial(self._answer, shard), _fail, may_be_about_some=refusals)

    async def _answer(self, shard: int, batch: Sequence[_Look[Q, A]]) -> None:
        found = await self._ask(shard, [look.asked for look in batch])
        for look, answer in zip(batch, found, strict=True):
            if not look.found.done():  # its caller may have gone
                look.found.set_result(answer)


def _fail(look: _Look[Q, A], error: BaseException) -> None:
    look.fail(error)
