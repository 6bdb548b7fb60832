"""How a saga begins: one insert with its first journal entry, owned at once by this process if it has a slot for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TypeVar

from saga_fn.arguments import check_is, micros_of_delay
from saga_fn.engine.around import StartCall
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.registry import Registered
from saga_fn.engine.requests.first_row import StartRequest, first_row
from saga_fn.engine.requests.start_around import around_start, tell_call
from saga_fn.engine.requests.start_batches import Fate, PendingStart, StartBatches
from saga_fn.engine.requests.start_conflicts import StartedSaga, existing, start_error
from saga_fn.engine.requests.start_insert import hand_over
from saga_fn.engine.requests.start_key_wait import KeyWait
from saga_fn.engine.requests.start_within import start_within
from saga_fn.errors import SagaError, StoreError
from saga_fn.printable import a_type_of
from saga_fn.store.connection import CallerConnection, check_notify

T = TypeVar("T")


class Starter:
    """Starts sagas, one or many."""

    def __init__(self, engine: SagaEngine, slots: Callable[[str], int]) -> None:
        """`slots` tells how many sagas more of a name this process may run itself."""
        self._engine = engine
        self._slots = slots
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with nothing on its way, in the event loop that comes next."""
        self._key_wait: KeyWait = KeyWait(self._engine)
        self._batches: StartBatches = StartBatches(self._engine, self._key_wait)

    async def start(
        self, request: StartRequest, connection: CallerConnection | None = None, *, notify: bool = False
    ) -> StartedSaga:
        """Insert the saga; durable when this returns, or part of the connection's transaction, and then without an owner.

        Raises before anything is written whatever can be known then. If the caller is cancelled meanwhile, the saga is
        inserted all the same, unless another transaction held its key.
        """
        self._engine.gate.require_open()
        self._engine.gate.require_attendance()
        check_notify(notify, connection)
        if not self._engine.options.around_start:
            return await self._start(request, connection, notify=notify)
        call = StartCall(request.registered.name, request.registered.version)
        with around_start(self._engine, call) as headers:
            started = await self._start(request.within(headers), connection, notify=notify)
            tell_call(call, [started])
            return started

    async def _start(self, request: StartRequest, connection: CallerConnection | None, *, notify: bool) -> StartedSaga:
        if connection is not None:
            return (await start_within(self._engine, [request], connection, notify=notify))[0]
        await self._engine.definitions.keep_plan(request.registered.definition.plan)
        pending = self._batches.hand_in(
            request, PendingStart(*first_row(self._engine, request, owned=self._slots(request.registered.name) > 0))
        )
        started = await self._settled(request, pending)
        if started.created and started.live is None:
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
        connection: CallerConnection | None,
        notify: bool,
    ) -> list[StartedSaga]:
        """Insert a saga for each, of which this process runs as many itself as it has slots; raises as `start` does.

        A start that the store's contents refuse costs the others nothing: they are there when this raises.
        """
        self._engine.gate.require_open()
        self._engine.gate.require_attendance()
        check_notify(notify, connection)
        requests = _requests(registered, data, aggregation_id, idempotency_key, delay)
        if not self._engine.options.around_start:
            return await self._start_many(registered, requests, connection, notify=notify)
        call = StartCall(registered.name, registered.version, len(requests))
        with around_start(self._engine, call) as headers:
            started = await self._start_many(
                registered, [each.within(headers) for each in requests], connection, notify=notify
            )
            tell_call(call, started)
            return started

    async def _start_many(
        self,
        registered: Registered,
        requests: Sequence[StartRequest],
        connection: CallerConnection | None,
        *,
        notify: bool,
    ) -> list[StartedSaga]:
        engine = self._engine
        if connection is not None:
            return await start_within(engine, requests, connection, notify=notify)
        slots = self._slots(registered.name)
        await engine.definitions.keep_plan(registered.definition.plan)
        pendings = [
            PendingStart(*first_row(engine, request, owned=number < slots)) for number, request in enumerate(requests)
        ]
        for request, pending in zip(requests, pendings, strict=True):
            self._batches.hand_in(request, pending)
        if pendings:
            await asyncio.wait([pending.settled for pending in pendings])
        started = await self._all_settled(list(zip(requests, pendings, strict=True)))
        self._announce(started)
        return started

    async def _all_settled(self, pairs: Sequence[tuple[StartRequest, PendingStart]]) -> list[StartedSaga]:
        """The outcome of each. Those with an obstacle wait for it at the same time."""
        hindered = {
            number: self._settled(request, pending)
            for number, (request, pending) in enumerate(pairs)
            if pending.settled.exception() is None and pending.settled.result() is not Fate.CREATED
        }
        ends = await asyncio.gather(*hindered.values(), return_exceptions=True)
        by_number = dict(zip(hindered, ends, strict=True))
        started: list[StartedSaga] = []
        for number, (request, pending) in enumerate(pairs):
            end = by_number[number] if number in by_number else await self._settled(request, pending)
            if isinstance(end, BaseException):
                raise end
            started.append(end)
        return started

    def _announce(self, started: Iterable[StartedSaga]) -> None:
        """Tell other processes that there is work which this one does not do."""
        left = [each for each in started if each.created and each.live is None]
        if left:
            since = min((each.due for each in left if each.due is not None), default=self._engine.store.now())
            self._engine.notify_processes(None, since)

    async def _settled(self, request: StartRequest, pending: PendingStart) -> StartedSaga:
        try:
            fate = await pending.settled
            if fate is Fate.CREATED:
                if request.aggregation_id is not None:
                    await hand_over(self._engine, request)
                due = pending.new.projection.due if pending.live is None else None
                return StartedSaga(pending.id, created=True, live=pending.live, due=due)
            before = None if fate is Fate.LOCKED else await existing(self._engine, request, pending.new)
            return before or await self._key_wait.start(request)
        except StoreError as error:
            raise start_error([request], error) from error


def _requests(
    registered: Registered,
    data: Iterable[T],
    aggregation_id: Callable[[T], str] | None,
    idempotency_key: Callable[[T], str] | None,
    delay: timedelta | None,
) -> list[StartRequest]:
    micros = micros_of_delay(delay)
    mend = "start_many([one, two]), start(one)"
    check_is(data, Iterable, "the data of many sagas", error=SagaError, hint=mend)
    if isinstance(data, str | bytes | bytearray):
        raise SagaError(
            f"the data of many sagas is one {type(data).__name__}: each of its parts would start one", hint=mend
        )
    for name, key in (("aggregation_id", aggregation_id), ("idempotency_key", idempotency_key)):
        if key is not None and not callable(key):
            raise SagaError(
                f"{name} of many sagas must be a function, not {a_type_of(key)}",
                hint=f"it is called with the data of each: {name}=lambda order: order.order_id",
            )
    return [
        StartRequest(
            registered,
            each,
            None if aggregation_id is None else aggregation_id(each),
            None if idempotency_key is None else idempotency_key(each),
            delay=micros,
        )
        for each in data
    ]
