"""Group commit: what becomes ready while a commit is in flight leaves together in the next one.

There is no timer: a lone write leaves at once. Each write is judged by itself. One that the database refuses, or that
has lost its saga, costs nobody else in its batch anything.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Coroutine
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import attrs

from saga_fn.errors import StoreError
from saga_fn.store.faults import RowRefusedError, StoreBusyError
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import Committed, SagaWrite

_log = logging.getLogger("saga_fn")
_BATCH_ROWS = 500
_BATCH_BYTES = 4 * 1024 * 1024
_LONGEST_PAUSE = 2.0


@attrs.frozen
class Applied:
    """The write is durable. `signals` counts the letters its saga has had."""

    signals: int


@attrs.frozen
class Unread:
    """The write would have given the saga up past a letter; nothing was written. Read it, then decide again."""

    signals: int


@attrs.frozen
class Lost:
    """The saga is no longer this writer's, or is gone; nothing was written."""


@attrs.frozen
class Refused:
    """The database cannot keep this row; nothing was written."""

    error: RowRefusedError


Outcome: TypeAlias = Applied | Unread | Lost | Refused


@attrs.frozen(eq=False)
class _Pending:
    write: SagaWrite
    settled: asyncio.Future[Outcome]


class Committer:
    """The way of every saga's next state into the store. `lanes` commits are in flight at most."""

    def __init__(self, store: Store, *, lease: timedelta, lanes: int) -> None:
        self._store = store
        self._lease = lease
        self._free_lanes = lanes
        self._waiting: dict[int, deque[_Pending]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.stalled = False
        """Whether the store does not answer at the moment: no new work shall be taken on."""

    async def commit(self, write: SagaWrite) -> Outcome:
        """Write a saga's next state. Returns when its fate is certain, however long the store is away."""
        pending = _Pending(write, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(shard_of(write.id, self._store.shards), deque()).append(pending)
        self._fill_lanes()
        return await pending.settled

    async def drain(self) -> None:
        """Wait until everything handed in is settled."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _fill_lanes(self) -> None:
        while self._free_lanes and self._waiting:
            shard = next(iter(self._waiting))
            batch = self._take(shard)
            self._free_lanes -= 1
            self._spawn(self._lane(shard, batch))

    def _take(self, shard: int) -> list[_Pending]:
        queue = self._waiting[shard]
        batch: list[_Pending] = []
        size = 0
        while queue and len(batch) < _BATCH_ROWS and (not batch or size < _BATCH_BYTES):
            pending = queue.popleft()
            size += sum(len(entry.payload or b"") + len(entry.input or b"") for entry in pending.write.entries)
            batch.append(pending)
        if not queue:
            del self._waiting[shard]
        batch.sort(key=lambda pending: pending.write.id)
        return batch

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lane(self, shard: int, batch: list[_Pending]) -> None:
        try:
            await self._write(shard, batch)
        except BaseException as error:  # whatever happened, nobody may wait for ever
            for pending in batch:
                if not pending.settled.done():
                    pending.settled.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
        finally:
            self._free_lanes += 1
            self._fill_lanes()

    async def _write(self, shard: int, batch: list[_Pending]) -> None:
        try:
            committed = await self._committed(shard, batch)
        except RowRefusedError as error:
            if len(batch) == 1:
                _settle(batch[0], Refused(error))
                return
            half = len(batch) // 2
            await self._write(shard, batch[:half])
            await self._write(shard, batch[half:])
            return
        for pending in batch:
            signals = committed.signals.get(pending.write.id)
            if signals is not None:
                _settle(pending, Applied(signals))
            else:
                self._spawn(self._look_up(shard, pending))

    async def _committed(self, shard: int, batch: list[_Pending]) -> Committed:
        """Send the same bytes until there is an answer: a repeat of what was applied matches nothing, and is looked up."""
        pause = 0.02
        while True:
            try:
                committed = await self._store.commit(shard, [pending.write for pending in batch], lease=self._lease)
            except RowRefusedError:
                raise
            except StoreBusyError:
                await asyncio.sleep(random.uniform(0.001, 0.02))
            except StoreError as error:
                if not self.stalled:
                    _log.warning("the store does not answer, commits wait for it: %s", error.fact)
                self.stalled = True
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self.stalled = False
                return committed

    async def _look_up(self, shard: int, pending: _Pending) -> None:
        """Why a write matched nothing: judged by what stands in the store, never assumed."""
        write = pending.write
        pause = 0.005
        while True:
            try:
                outcome = await self._judge(shard, write)
                if outcome is None:  # the row was locked by somebody else
                    committed = await self._store.commit(shard, [write], lease=self._lease)
                    signals = committed.signals.get(write.id)
                    outcome = None if signals is None else Applied(signals)
            except RowRefusedError as error:
                outcome = Refused(error)
            except StoreError:
                outcome = None
            if outcome is not None:
                _settle(pending, outcome)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.25)

    async def _judge(self, shard: int, write: SagaWrite) -> Outcome | None:
        first = write.rev + 1
        recorded: dict[tuple[UUID, int], UUID] = await self._store.write_ids(shard, [(write.id, first)])
        row = await self._store.read(write.id)
        if row is None:
            return Lost()
        if recorded.get((write.id, first)) == write.write_id:
            return Applied(row.signals)
        if row.token != write.token or row.rev != write.rev:
            return Lost()
        return Unread(row.signals) if write.release and row.signals != write.seen else None


def _settle(pending: _Pending, outcome: Outcome) -> None:
    if not pending.settled.done():
        pending.settled.set_result(outcome)
