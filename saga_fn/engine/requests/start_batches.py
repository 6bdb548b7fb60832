"""Starts that are ready at the same time share a statement; each is owned at once by this process if it has a slot for it.

Those with a key of the caller's go apart from the others: such an insert may have to wait for another transaction, and no start
without a key is to wait with it. It waits a moment only: what has to wait for longer is `LOCKED`, and is sent again by itself.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

from saga_fn import steady
from saga_fn.core.effects import Action, Transition
from saga_fn.core.ids import Moment
from saga_fn.engine.commit.batching import Batcher, by_halves, telling_all
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.first_row import StartRequest
from saga_fn.engine.requests.start_insert import GLANCE, insert, tell_inserted
from saga_fn.engine.requests.start_key_wait import KeyWait
from saga_fn.errors import StoreError, StoreRefusedError, StoreUnavailableError
from saga_fn.store.errors import RowLockedError, RowRejectedError, StatementFailedError
from saga_fn.store.ids import shard_of
from saga_fn.store.records import NewSaga

_MOMENT: Final = timedelta(milliseconds=20)
"""How long a statement that others share waits for another transaction: a second request of the same client is over by then."""


class Fate(enum.Enum):
    """The outcome of an insert."""

    CREATED = enum.auto()
    TAKEN = enum.auto()
    """The id is there, or another saga is active under the business key."""
    LOCKED = enum.auto()
    """Another transaction, still open, has inserted the id or the business key."""


class PendingStart:
    """An insert on its way. A plain class: there is one for every saga."""

    __slots__ = ("actions", "id", "live", "new", "settled", "size")

    def __init__(self, new: NewSaga, live: OwnedSaga | None, moved: Transition) -> None:
        self.id: UUID = new.id
        self.new: NewSaga = new
        self.live: OwnedSaga | None = live
        self.actions: tuple[Action, ...] = moved.actions
        self.settled: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        self.size: int = len(new.payload)

    def settle(self, fate: Fate) -> None:
        """Tell the caller, who may have gone."""
        if not self.settled.done():
            self.settled.set_result(fate)

    def fail(self, error: BaseException) -> None:
        """Tell the caller of an error."""
        if not self.settled.done():
            self.settled.set_exception(error if isinstance(error, Exception) else _cut_short())
            _ = self.settled.exception()  # heard, though the caller of many has gone: asyncio logs what is not


def _cut_short() -> StoreError:
    """The error of a start whose statement's task was cancelled: its caller was not, and must not think so."""
    return StoreUnavailableError(
        "the statement of a start was cut short, by a stop or by code outside of this library: the saga may have begun",
        hint="start it again; with a key it is started once",
    )


class StartBatches:
    """Inserts sagas, many a statement."""

    def __init__(self, engine: SagaEngine, key_wait: KeyWait) -> None:
        self._engine = engine
        self._key_wait = key_wait
        self._unkeyed: Batcher[PendingStart] = Batcher(self._send_unkeyed, max_in_flight=1)
        self._keyed: Batcher[PendingStart] = Batcher(self._send_keyed, max_in_flight=1)

    def hand_in(self, request: StartRequest, pending: PendingStart) -> PendingStart:
        """Insert it with the others that are ready."""
        if self._key_wait.is_awaited(pending.new):
            pending.settle(Fate.LOCKED)  # it waits with those that wait for its key already
            return pending
        if pending.live is not None:
            self._engine.starting += 1
            if pending.new.name in self._engine.registry.limits:
                self._engine.starting_of[pending.new.name] += 1
        keyed = request.aggregation_id is not None or request.idempotency_key is not None
        batcher = self._keyed if keyed else self._unkeyed
        batcher.add(shard_of(pending.id, self._engine.store.shards), pending)
        return pending

    async def _send_unkeyed(self, shard: int, batch: list[PendingStart]) -> None:
        await self._send(shard, batch, self._engine.options.key_wait)  # it waits for no key: for who alters the tables

    async def _send_keyed(self, shard: int, batch: list[PendingStart]) -> None:
        await self._send(shard, batch, min(_MOMENT, self._engine.options.key_wait))

    async def _send(self, shard: int, batch: list[PendingStart], lock_timeout: timedelta) -> None:
        starting_of = self._engine.starting_of
        try:
            with telling_all(batch, PendingStart.fail):
                await by_halves(
                    self._not_awaited(batch),
                    partial(self._insert, shard, lock_timeout),
                    _blame,
                    again=partial(self._insert, shard, min(lock_timeout, GLANCE)),
                    may_be_about_some=(RowRejectedError, RowLockedError, StoreRefusedError, StatementFailedError),
                )
        finally:
            self._engine.starting -= sum(pending.live is not None for pending in batch)
            for name in [pending.new.name for pending in batch if pending.live is not None] if starting_of else ():
                if starting_of[name]:
                    starting_of[name] -= 1

    def _not_awaited(self, batch: list[PendingStart]) -> list[PendingStart]:
        """Those that can be sent with others; since they were handed in, starts may have begun to wait for the same keys."""
        if not self._key_wait.waits:
            return batch
        free: list[PendingStart] = []
        for pending in batch:
            if self._key_wait.is_awaited(pending.new):
                pending.settle(Fate.LOCKED)
            else:
                free.append(pending)
        return free

    async def _insert(self, shard: int, lock_timeout: timedelta, batch: Sequence[PendingStart]) -> None:
        sent = steady.now()
        created, at = await insert(self._engine, shard, [pending.new for pending in batch], lock_timeout=lock_timeout)
        due_since: Moment | None = None
        for pending in batch:
            new, live = pending.new, pending.live
            if pending.new.id not in created:
                pending.settle(Fate.TAKEN)
                continue
            pending.settle(Fate.CREATED)  # its caller goes on before its first step does
            tell_inserted(self._engine, new, owned=live is not None)
            if live is not None:
                live.begun(at, deadline=sent + self._engine.options.lease.total_seconds())
                self._engine.drive_started(live, pending.actions)
            elif (due := new.projection.due) is not None:
                if due > at:
                    self._engine.on_due(due)
                else:
                    due_since = due if due_since is None else min(due, due_since)
        if due_since is not None:
            self._engine.on_due(due_since)


def _blame(pending: PendingStart, error: StoreError) -> None:
    if isinstance(error, RowLockedError):
        pending.settle(Fate.LOCKED)
    else:
        pending.fail(error)
