"""Natural batching: what becomes ready while a statement is in flight leaves together in the next one.

There is no timer. A write that is ready alone leaves alone, at the end of the present turn of the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from saga_fn import steady
from saga_fn.errors import StoreError
from saga_fn.store.errors import RowLockedError, RowRejectedError
from saga_fn.tasks import Errands

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
_CLEAN_UP: Final = 0.5
"""Seconds that a sending task which is cut short may take to give back its connection."""


class Batched(Protocol):
    """Something that leaves in a batch."""

    @property
    def id(self) -> UUID:
        """The saga it is about: a statement has one row a saga at most, and its rows in this order."""
        ...

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        ...


T = TypeVar("T", bound=Batched)
R = TypeVar("R")


class Batcher(Generic[T]):
    """Queues by shard, emptied in batches; at most `max_in_flight` batches are with `send` at the same time.

    `send` takes a shard and a batch, and does not raise: it settles each item itself.
    """

    def __init__(self, send: Callable[[int, list[T]], Awaitable[None]], *, max_in_flight: int) -> None:
        self._send = send
        self._free = max_in_flight
        self._waiting: dict[int, deque[T]] = {}
        self._tasks = Errands(self._ended)
        self._beginner: asyncio.Task[None] | None = None
        """The task that has not had its first turn: it takes along the items that become ready until then."""
        self._returning = 0
        """How many tasks have sent their batch: each looks for another one when the present turn of the loop is over."""

    def add(self, shard: int, item: T) -> None:
        """Send this item with the next batch."""
        queue = self._waiting.get(shard)
        if queue is None:
            queue = self._waiting[shard] = deque()
        queue.append(item)
        if self._free and self._beginner is None and not self._returning:
            # It begins when this turn of the loop is over: what else becomes ready until then goes along.
            self._begin()

    async def stop(self, patience: float) -> None:
        """Wait `patience` seconds for what was added, then cut it short: `send` settles it by what it knows."""
        await self._tasks.wait(patience)
        give_up = steady.now() + _CLEAN_UP
        while (self._tasks.running or self._waiting) and steady.now() < give_up:
            await asyncio.sleep(0)  # a task that never began could settle nothing
            await self._tasks.stop(_CLEAN_UP)

    def _begin(self) -> None:
        self._free -= 1
        self._beginner = self._tasks.begin(self._send_batches())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._beginner is task:  # other code has cancelled it before its first turn
            self._beginner = None
            self._free += 1
            if self._waiting:
                self._begin()

    async def _send_batches(self) -> None:
        self._beginner = None
        try:
            while self._waiting:
                shard = next(iter(self._waiting))
                batch = self._take(shard)
                if self._waiting and self._free:
                    self._begin()
                await self._send(shard, batch)
                self._returning += 1
                try:
                    await asyncio.sleep(0)  # what follows at once from this batch goes with the next
                finally:
                    self._returning -= 1
        finally:
            self._free += 1
            if self._waiting and self._beginner is None:  # cut short
                self._begin()

    def _take(self, shard: int) -> list[T]:
        """The next batch; what is left of the shard's queue goes behind the other shards."""
        queue = self._waiting.pop(shard)
        if len(queue) == 1:
            return list(queue)
        batch = {item.id: item for item in queue}
        if (
            len(queue) == len(batch) <= BATCH_ROWS and sum([item.size for item in queue]) <= BATCH_BYTES
        ):  # as nearly always
            return [batch[saga_id] for saga_id in sorted(batch)]
        batch.clear()
        again: list[T] = []
        size = 0
        while queue and len(batch) < BATCH_ROWS and (not batch or size + queue[0].size <= BATCH_BYTES):
            item = queue.popleft()
            if batch.setdefault(item.id, item) is item:
                size += item.size
            else:
                again.append(item)
        queue.extendleft(reversed(again))
        if queue:
            self._waiting[shard] = queue
        return [batch[saga_id] for saga_id in sorted(batch)]


@contextmanager
def telling_all(batch: Iterable[R], fail: Callable[[R, BaseException], None]) -> Generator[None]:
    """Tell each of the batch if this fails: whatever happened, no caller may wait for ever. Only what is no Exception goes on."""
    try:
        yield
    except BaseException as error:
        for each in batch:
            fail(each, error)
        if not isinstance(error, Exception):
            raise


async def by_halves(
    batch: Sequence[R],
    write: Callable[[Sequence[R]], Awaitable[None]],
    blame: Callable[[R, StoreError], None],
    again: Callable[[Sequence[R]], Awaitable[None]] | None = None,
    *,
    may_be_about_some: tuple[type[StoreError], ...] = (RowRejectedError, RowLockedError),
) -> None:
    """Write the batch. One that is refused for some of its items is halved, until each of those is alone and blamed.

    `again` writes the halves; by default they are written as the whole is. `may_be_about_some` are the errors for which a
    batch is halved.
    """
    if not batch:
        return
    try:
        await write(batch)
    except may_be_about_some as error:
        if len(batch) == 1:
            blame(batch[0], error)
            return
        half = len(batch) // 2
        await by_halves(batch[:half], again or write, blame, may_be_about_some=may_be_about_some)
        await by_halves(batch[half:], again or write, blame, may_be_about_some=may_be_about_some)
