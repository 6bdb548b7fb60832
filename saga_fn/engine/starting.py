"""How a saga begins: one insert with its first journal entry, owned at once by this process if it has a slot for it.

Starts that are ready at the same time share a statement. Those with a key of the caller's go apart from the others: such
an insert may have to wait for somebody else's transaction, and nobody without a key is to wait with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import attrs

from saga_fn.core.effects import Transition
from saga_fn.core.ids import Moment
from saga_fn.engine.arguments import check_is, micros_of_delay
from saga_fn.engine.beginning import StartRequest, first_of
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.lanes import Lanes
from saga_fn.engine.live import LiveSaga
from saga_fn.engine.registry import Registered
from saga_fn.errors import (
    ActiveSagaAlreadyExistsError,
    SagaError,
    StartConflictError,
    StoreError,
    StoreUnavailableError,
)
from saga_fn.store.connection import Connection
from saga_fn.store.faults import RowRefusedError, StoreBusyError
from saga_fn.store.ids import shard_of, shard_of_key
from saga_fn.store.records import NewSaga

T = TypeVar("T")

_TRIES = 5
"""How often an insert whose answer was lost is sent again before the caller hears of it."""


@attrs.frozen
class StartedSaga:
    """A saga that exists now; `created` by this call, or by one before it with the same key. `live` if it runs here."""

    id: UUID
    created: bool
    live: LiveSaga | None = None


class _Pending:
    """An insert on its way. A plain class: there is one for every saga."""

    __slots__ = ("actions", "id", "live", "new", "settled", "size")

    def __init__(self, new: NewSaga, live: LiveSaga | None, moved: Transition) -> None:
        self.id = new.id
        self.new = new
        self.live = live
        self.actions = moved.actions
        self.settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.size = len(new.payload)

    def settle(self, *, created: bool) -> None:
        if not self.settled.done():  # its caller may have gone
            self.settled.set_result(created)

    def fail(self, error: BaseException) -> None:
        if not self.settled.done():
            self.settled.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())


class Starter:
    """Inserts sagas, many a statement."""

    def __init__(self, engine: SagaEngine, slots: Callable[[], int]) -> None:
        """`slots` tells how many sagas more this process may run itself."""
        self._engine = engine
        self._slots = slots
        self._unkeyed: Lanes[_Pending] = Lanes(self._send, lanes=1)
        self._keyed: Lanes[_Pending] = Lanes(self._send, lanes=1)

    async def start(self, request: StartRequest, connection: Connection | None = None) -> StartedSaga:
        """Insert the saga; durable when this returns, or part of the connection's transaction, and then owned by nobody.

        Raises before anything is written whatever can be known then. If the caller is cancelled meanwhile, the saga is
        inserted all the same.
        """
        self._engine.require_open()
        if connection is not None:
            return await self._start_within(request, connection)
        started = await self._start(request, slots=self._slots())
        self._announce([started])
        return started

    async def start_many(
        self,
        registered: Registered,
        data: Iterable[T],
        *,
        aggregation_id: Callable[[T], str] | None,
        idempotency_key: Callable[[T], str] | None,
        delay: timedelta | None,
    ) -> list[StartedSaga]:
        """Insert a saga for each, of which this process runs as many itself as it has slots; raises as `start` does.

        What is refused by what is in the store already costs the others nothing: they are there when this raises.
        """
        engine = self._engine
        engine.require_open()
        micros = micros_of_delay(delay)
        check_is(data, Iterable, "the data of many sagas", error=SagaError, hint="start_many([one, two]), start(one)")
        for name, key in (("aggregation_id", aggregation_id), ("idempotency_key", idempotency_key)):
            if key is not None and not callable(key):
                raise SagaError(
                    f"{name} of many sagas must be a function, not a {type(key).__name__}",
                    hint=f"it is called with the data of each: {name}=lambda order: order.order_id",
                )
        requests = [
            StartRequest(
                registered,
                each,
                None if aggregation_id is None else aggregation_id(each),
                None if idempotency_key is None else idempotency_key(each),
                delay=micros,
            )
            for each in data
        ]
        slots = self._slots()
        await engine.keep_plan(registered.definition.plan)
        pendings = [
            _Pending(*first_of(engine, request, owned=number < slots)) for number, request in enumerate(requests)
        ]
        for request, pending in zip(requests, pendings, strict=True):
            self._hand_in(request, pending)
        if pendings:
            await asyncio.wait([pending.settled for pending in pendings])
        started = [await self._settled(request, pending) for request, pending in zip(requests, pendings, strict=True)]
        self._announce(started)
        return started

    async def _start(self, request: StartRequest, *, slots: int) -> StartedSaga:
        await self._engine.keep_plan(request.registered.definition.plan)
        pending = self._hand_in(request, _Pending(*first_of(self._engine, request, owned=slots > 0)))
        return await self._settled(request, pending)

    async def _start_within(self, request: StartRequest, connection: Connection) -> StartedSaga:
        if not hasattr(connection, "fetch"):
            raise SagaError("connection is no connection", hint="pass an asyncpg connection, in a transaction")
        engine = self._engine
        await engine.keep_plan(request.registered.definition.plan)
        new, _, _ = first_of(engine, request, owned=False)
        shard = shard_of(new.id, engine.store.shards)
        inserted = await engine.store.insert(shard, [new], lease=engine.options.lease, connection=connection)
        if new.id not in inserted.ids:
            return await self._existing(request, new)
        return StartedSaga(new.id, created=True)

    def _announce(self, started: Iterable[StartedSaga]) -> None:
        """Tell other processes that there is work which this one does not do."""
        if any(each.created and each.live is None for each in started):
            self._engine.announce(None)

    def _hand_in(self, request: StartRequest, pending: _Pending) -> _Pending:
        if pending.live is not None:
            self._engine.starting += 1
        keyed = request.aggregation_id is not None or request.idempotency_key is not None
        lanes = self._keyed if keyed else self._unkeyed
        lanes.add(shard_of(pending.id, self._engine.store.shards), pending)
        return pending

    async def _settled(self, request: StartRequest, pending: _Pending) -> StartedSaga:
        if await pending.settled:
            if request.aggregation_id is not None and request.registered.definition.plan.events:
                await self._hand_over(pending.new.name, request.aggregation_id)
            return StartedSaga(pending.new.id, created=True, live=pending.live)
        return await self._existing(request, pending.new)

    async def _hand_over(self, name: str, aggregation_id: str) -> None:
        """Give a saga that has just begun what was sent to its business key before. What goes wrong here a sweep mends."""
        store = self._engine.store
        with contextlib.suppress(StoreError):
            saga_id = await store.kept_events.hand_over(
                shard_of_key(aggregation_id, store.shards), (name, aggregation_id)
            )
            if saga_id is not None:
                self._engine.nudge(saga_id)
                self._engine.on_due(None)

    async def _send(self, shard: int, batch: list[_Pending]) -> None:
        try:
            await self._insert(shard, batch)
        except BaseException as error:
            for pending in batch:  # whatever happened, nobody may wait for ever
                pending.fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._engine.starting -= sum(pending.live is not None for pending in batch)

    async def _insert(self, shard: int, batch: Sequence[_Pending]) -> None:
        sent = time.monotonic()
        try:
            created, at = await self._created(shard, [pending.new for pending in batch])
        except RowRefusedError as error:
            if len(batch) == 1:
                batch[0].fail(error)
                return
            half = len(batch) // 2
            await self._insert(shard, batch[:half])
            await self._insert(shard, batch[half:])
            return
        for pending in batch:
            new = pending.new.id in created
            pending.settle(created=new)  # its caller goes on before its first step does
            if new and pending.live is not None:
                pending.live.begun(at, deadline=sent + self._engine.options.lease.total_seconds())
                self._engine.drive_started(pending.live, pending.actions)
            elif new and pending.new.due is not None:
                self._engine.on_due(pending.new.due)

    async def _created(self, shard: int, sagas: Sequence[NewSaga]) -> tuple[Collection[UUID], Moment]:
        """Which of the sagas are new. An insert whose answer was lost is sent again, and what then exists is told apart."""
        store = self._engine.store
        for attempt in range(_TRIES):
            try:
                inserted = await store.insert(shard, sagas, lease=self._engine.options.lease)
                if not attempt:
                    return inserted.ids, inserted.now
                written = await store.writers(shard, [(new.id, 1) for new in sagas])
            except (StoreUnavailableError, StoreBusyError):
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(random.uniform(0.0, 0.01 * 2**attempt))
            else:
                return {new.id for new in sagas if written.get((new.id, 1)) == new.writer}, inserted.now
        raise StoreError("a start could not be settled")  # unreachable: the last attempt returns or raises

    async def _existing(self, request: StartRequest, new: NewSaga) -> StartedSaga:
        """Why nothing was inserted: the same request before, another one under its key, or a taken business key."""
        store = self._engine.store
        row = await store.read(new.id)
        if row is not None:
            if row.request != new.request:
                raise StartConflictError(new.name, request.idempotency_key or "", new.id)
            return StartedSaga(new.id, created=False)
        if new.aggregation_id is not None:
            holder = await store.active(shard_of(new.id, store.shards), new.name, new.aggregation_id)
            if holder is not None:
                raise ActiveSagaAlreadyExistsError(new.name, new.aggregation_id, holder)
        # The holder of the key ended between the two looks.
        return await self._start(request, slots=0)
