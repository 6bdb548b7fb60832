"""How a saga begins: one insert with its first journal entry, owned at once by this process if it has a slot for it.

Starts that are ready at the same time share a statement. Those with a key of the caller's go apart from the others: such
an insert may have to wait for another transaction, and no start without a key is to wait with it. It waits a moment
only: what has to wait for longer is sent again by itself, so that no start with another key waits with it either.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

from saga_fn import steady
from saga_fn.arguments import check_is, micros_of_delay
from saga_fn.backoff import Backoff
from saga_fn.core.effects import Transition
from saga_fn.core.ids import Moment
from saga_fn.engine.around import StartCall
from saga_fn.engine.commit.batching import Batcher, by_halves, telling_all
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.observe.fact import SagaIdentity
from saga_fn.engine.observe.of_process import AroundStartFailed
from saga_fn.engine.observe.of_sagas import SagaStarted
from saga_fn.engine.registry import Registered
from saga_fn.engine.requests.first_row import StartRequest, first_row
from saga_fn.engine.requests.start_conflicts import CHANGED_HANDS, HELD, LOOKS, StartedSaga, busy, existing, start_error
from saga_fn.engine.requests.start_within import start_within
from saga_fn.errors import SagaError, StoreError, StoreRefusedError, StoreUnavailableError, is_a, shown
from saga_fn.printable import a_type_of
from saga_fn.store.connection import CallerConnection, check_notify
from saga_fn.store.errors import RowLockedError, RowRejectedError, StatementFailedError, StoreBusyError
from saga_fn.store.ids import shard_of, shard_of_key
from saga_fn.store.records import NewSaga

T = TypeVar("T")

_AROUND: Final = "@contextmanager def starting(call: StartCall): yield {}"
_TRIES = 5
"""How often an insert whose answer was lost is sent again before the caller hears of it."""
_MOMENT: Final = timedelta(milliseconds=20)
"""How long a statement that others share waits for another transaction: a second request of the same client is over by then."""
_GLANCE: Final = timedelta(milliseconds=2)
"""How long one waits that is known to have something in its way."""
_SHORTEST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.1
_A_KEY: Final = 0.01
"""Seconds that each key that is waited for adds to every pause: all who wait use half a connection together."""
_LONGEST_CROWDED: Final = 1.0


class _Fate(enum.Enum):
    """The outcome of an insert."""

    CREATED = enum.auto()
    TAKEN = enum.auto()
    """The id is there, or another saga is active under the business key."""
    LOCKED = enum.auto()
    """Another transaction, still open, has inserted the id or the business key."""


class _Pending:
    """An insert on its way. A plain class: there is one for every saga."""

    __slots__ = ("actions", "id", "live", "new", "settled", "size")

    def __init__(self, new: NewSaga, live: OwnedSaga | None, moved: Transition) -> None:
        self.id = new.id
        self.new = new
        self.live = live
        self.actions = moved.actions
        self.settled: asyncio.Future[_Fate] = asyncio.get_running_loop().create_future()
        self.size = len(new.payload)

    def settle(self, fate: _Fate) -> None:
        if not self.settled.done():  # its caller may have gone
            self.settled.set_result(fate)

    def fail(self, error: BaseException) -> None:
        if not self.settled.done():
            self.settled.set_exception(error if isinstance(error, Exception) else _cut_short())
            _ = self.settled.exception()  # heard, though the caller of many has gone: asyncio logs what is not


def _cut_short() -> StoreError:
    """The error of a start whose statement's task was cancelled: its caller was not, and must not think so."""
    return StoreUnavailableError(
        "the statement of a start was cut short, by a stop or by code outside of this library: the saga may have begun",
        hint="start it again; with a key it is started once",
    )


class Starter:
    """Inserts sagas, many a statement."""

    def __init__(self, engine: SagaEngine, slots: Callable[[str], int]) -> None:
        """`slots` tells how many sagas more of a name this process may run itself."""
        self._engine = engine
        self._slots = slots
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with nothing on its way, in the event loop that comes next."""
        self._unkeyed: Batcher[_Pending] = Batcher(self._send_unkeyed, max_in_flight=1)
        self._keyed: Batcher[_Pending] = Batcher(self._send_keyed, max_in_flight=1)
        self._awaited: dict[object, asyncio.Future[None]] = {}
        """Ids and business keys that starts of this process wait for, and when the first of them is through."""

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
        with self._around(call) as headers:
            started = await self._start(request.within(headers), connection, notify=notify)
            _tell_call(call, [started])
            return started

    async def _start(self, request: StartRequest, connection: CallerConnection | None, *, notify: bool) -> StartedSaga:
        if connection is not None:
            return (await start_within(self._engine, [request], connection, notify=notify))[0]
        await self._engine.definitions.keep_plan(request.registered.definition.plan)
        pending = self._hand_in(
            request, _Pending(*first_row(self._engine, request, owned=self._slots(request.registered.name) > 0))
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
        with self._around(call) as headers:
            started = await self._start_many(
                registered, [each.within(headers) for each in requests], connection, notify=notify
            )
            _tell_call(call, started)
            return started

    @contextlib.contextmanager
    def _around(self, call: StartCall) -> Generator[Mapping[str, str]]:
        """The code of the service's around a start, and the headers that it gives.

        The start ends as it does by itself: no code around it hides its error, nor makes an error of a saga that has begun.
        """
        started = False
        raised: BaseException | None = None
        try:
            with contextlib.ExitStack() as stack:
                headers = self._entered(call, stack)
                try:
                    yield headers
                    started = True
                except BaseException as error:
                    raised = error
                    raise
        except Exception as error:
            if raised is None and not started:
                raise
            if raised is None:
                self._engine.observers.tell(AroundStartFailed(call.saga_name, error))
        if raised is not None:
            raise raised

    def _entered(self, call: StartCall, stack: contextlib.ExitStack) -> Mapping[str, str]:
        headers: dict[str, str] = {}
        for each in self._engine.options.around_start:
            within = each(call)
            if not is_a(within, contextlib.AbstractContextManager):
                raise SagaError(f"code around starts gives a context manager, not {shown(within)}", hint=_AROUND)
            given = stack.enter_context(within)
            if not is_a(given, Mapping):
                raise SagaError(f"code around starts gives headers, not {shown(given)}", hint=_AROUND)
            headers.update(given)
        return headers

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
            _Pending(*first_row(engine, request, owned=number < slots)) for number, request in enumerate(requests)
        ]
        for request, pending in zip(requests, pendings, strict=True):
            self._hand_in(request, pending)
        if pendings:
            await asyncio.wait([pending.settled for pending in pendings])
        started = await self._all_settled(list(zip(requests, pendings, strict=True)))
        self._announce(started)
        return started

    async def _all_settled(self, pairs: Sequence[tuple[StartRequest, _Pending]]) -> list[StartedSaga]:
        """The outcome of each. Those with an obstacle wait for it at the same time."""
        hindered = {
            number: self._settled(request, pending)
            for number, (request, pending) in enumerate(pairs)
            if pending.settled.exception() is None and pending.settled.result() is not _Fate.CREATED
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
            self._engine.notify_processes(None, min((each.due for each in left if each.due is not None), default=None))

    def _hand_in(self, request: StartRequest, pending: _Pending) -> _Pending:
        if self._is_awaited(pending.new):
            pending.settle(_Fate.LOCKED)  # it waits with those that wait for its key already
            return pending
        if pending.live is not None:
            self._engine.starting += 1
            if pending.new.name in self._engine.registry.limits:
                self._engine.starting_of[pending.new.name] += 1
        keyed = request.aggregation_id is not None or request.idempotency_key is not None
        batcher = self._keyed if keyed else self._unkeyed
        batcher.add(shard_of(pending.id, self._engine.store.shards), pending)
        return pending

    async def _settled(self, request: StartRequest, pending: _Pending) -> StartedSaga:
        try:
            fate = await pending.settled
            if fate is _Fate.CREATED:
                if request.aggregation_id is not None:
                    await self._hand_over(request)
                due = pending.new.projection.due if pending.live is None else None
                return StartedSaga(pending.id, created=True, live=pending.live, due=due)
            before = None if fate is _Fate.LOCKED else await existing(self._engine, request, pending.new)
            return before or await self._alone(request)
        except StoreError as error:
            raise start_error([request], error) from error

    async def _alone(self, request: StartRequest) -> StartedSaga:
        """Insert a saga as soon as no other transaction holds its key; raises StartBusyError after `key_wait`.

        It looks again and again for a moment, and holds no connection between two looks: neither those with other keys nor
        commits wait for it. Only the first of all that wait for one key looks, and the more keys there are, the less often.
        """
        engine = self._engine
        give_up = steady.now() + engine.options.key_wait.total_seconds()
        new, _, _ = first_row(engine, request, owned=False)
        keys = _keys(new)
        while (before := next((self._awaited[key] for key in keys if key in self._awaited), None)) is not None:
            left = give_up - steady.now()
            if left <= 0:
                raise busy(request, HELD)
            await asyncio.wait([before], timeout=left)
        through: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        awaited = self._awaited
        awaited.update(dict.fromkeys(keys, through))
        try:
            return await self._look_until(give_up, request, new)
        finally:
            for key in keys:
                del awaited[key]
            through.set_result(None)

    async def _look_until(self, give_up: float, request: StartRequest, new: NewSaga) -> StartedSaga:
        shard = shard_of(new.id, self._engine.store.shards)
        backoff, changed_hands = Backoff(_SHORTEST_PAUSE, _LONGEST_PAUSE), 0
        while changed_hands < LOOKS:
            try:
                created, _ = await self._created(shard, [new], lock_timeout=_GLANCE)
            except RowLockedError as error:
                left = give_up - steady.now()
                if left <= 0:
                    raise busy(request, HELD) from error
                crowd = min(len(self._awaited) * _A_KEY, _LONGEST_CROWDED)
                await backoff.pause(least=crowd, most=left)
                continue
            if created:
                self._tell(new, owned=False)
                if new.outgoing:
                    self._engine.topics.written(new.id, new.name, new.version, new.outgoing, 0)
                await self._hand_over(request)
                return StartedSaga(new.id, created=True, due=new.projection.due)
            before = await existing(self._engine, request, new)
            if before is not None:
                return before
            changed_hands += 1
        raise busy(request, CHANGED_HANDS)

    def _tell(self, new: NewSaga, *, owned: bool) -> None:
        observers = self._engine.observers
        if observers.listens:
            identity = SagaIdentity(new.id, new.name, new.version, new.trace_id, kept_carrier=new.trace_carrier)
            observers.tell(SagaStarted(identity, owned))

    def _is_awaited(self, new: NewSaga) -> bool:
        return bool(self._awaited) and any(key in self._awaited for key in _keys(new))

    async def _hand_over(self, request: StartRequest) -> None:
        """Give a saga that has just begun what was sent to its business key before. A sweep mends it if this fails."""
        name, aggregation_id = request.registered.name, request.aggregation_id
        if aggregation_id is None or not request.registered.definition.plan.events:
            return
        store = self._engine.store
        with contextlib.suppress(StoreError):
            saga_id = await store.kept_events.hand_over(
                shard_of_key(aggregation_id, store.shards), (name, aggregation_id)
            )
            if saga_id is not None:
                self._engine.recheck_inbox(saga_id)
                self._engine.on_due(None)

    async def _send_unkeyed(self, shard: int, batch: list[_Pending]) -> None:
        await self._send(shard, batch, self._engine.options.key_wait)  # it waits for no key: for who alters the tables

    async def _send_keyed(self, shard: int, batch: list[_Pending]) -> None:
        await self._send(shard, batch, min(_MOMENT, self._engine.options.key_wait))

    async def _send(self, shard: int, batch: list[_Pending], lock_timeout: timedelta) -> None:
        starting_of = self._engine.starting_of
        try:
            with telling_all(batch, _Pending.fail):
                await by_halves(
                    self._not_awaited(batch),
                    partial(self._insert, shard, lock_timeout),
                    _blame,
                    again=partial(self._insert, shard, min(lock_timeout, _GLANCE)),
                    may_be_about_some=(RowRejectedError, RowLockedError, StoreRefusedError, StatementFailedError),
                )
        finally:
            self._engine.starting -= sum(pending.live is not None for pending in batch)
            for name in [pending.new.name for pending in batch if pending.live is not None] if starting_of else ():
                if starting_of[name]:
                    starting_of[name] -= 1

    def _not_awaited(self, batch: list[_Pending]) -> list[_Pending]:
        """Those that can be sent with others; since they were handed in, starts may have begun to wait for the same keys."""
        if not self._awaited:
            return batch
        free: list[_Pending] = []
        for pending in batch:
            if self._is_awaited(pending.new):
                pending.settle(_Fate.LOCKED)
            else:
                free.append(pending)
        return free

    async def _insert(self, shard: int, lock_timeout: timedelta, batch: Sequence[_Pending]) -> None:
        sent = steady.now()
        created, at = await self._created(shard, [pending.new for pending in batch], lock_timeout=lock_timeout)
        due_since: Moment | None = None
        for pending in batch:
            new = pending.new.id in created
            pending.settle(_Fate.CREATED if new else _Fate.TAKEN)  # its caller goes on before its first step does
            if new:
                self._tell(pending.new, owned=pending.live is not None)
            if new and pending.new.outgoing:
                each = pending.new
                self._engine.topics.written(each.id, each.name, each.version, each.outgoing, 0)
            if new and pending.live is not None:
                pending.live.begun(at, deadline=sent + self._engine.options.lease.total_seconds())
                self._engine.drive_started(pending.live, pending.actions)
            elif new and (due := pending.new.projection.due) is not None:
                if due > at:
                    self._engine.on_due(due)
                else:
                    due_since = due if due_since is None else min(due, due_since)
        if due_since is not None:
            self._engine.on_due(due_since)

    async def _created(
        self, shard: int, sagas: Sequence[NewSaga], *, lock_timeout: timedelta
    ) -> tuple[Collection[UUID], Moment]:
        """Which of the sagas are new. An insert whose answer was lost is sent again, and what then exists is told apart.

        Raises RowLockedError if none of them was inserted, for another transaction holds the key of one.
        """
        store = self._engine.store
        give_up = steady.now() + self._engine.options.time_limit * 1.5  # once more than a silent connection takes
        backoff = Backoff(0.01, _LONGEST_PAUSE)
        for attempt in range(_TRIES):
            try:
                inserted = await store.insert(shard, sagas, lease=self._engine.options.lease, lock_timeout=lock_timeout)
                if not attempt:
                    return inserted.ids, inserted.now
                written = await store.writers(shard, [(new.id, 1) for new in sagas])
            except (StoreUnavailableError, StoreBusyError) as error:
                over = attempt == _TRIES - 1 or steady.now() > give_up
                answered = isinstance(error, StatementFailedError)  # nothing was inserted
                if over or answered or (isinstance(error, RowLockedError) and not attempt):
                    raise
                await backoff.pause()
            else:
                return {new.id for new in sagas if written.get((new.id, 1)) == new.writer}, inserted.now
        raise StoreError("a start could not be settled")  # unreachable: the last attempt returns or raises


def _tell_call(call: StartCall, started: Sequence[StartedSaga]) -> None:
    call.saga_ids = tuple(each.id for each in started)
    call.created = sum(each.created for each in started)


def _blame(pending: _Pending, error: StoreError) -> None:
    if isinstance(error, RowLockedError):
        pending.settle(_Fate.LOCKED)
    else:
        pending.fail(error)


def _keys(new: NewSaga) -> list[object]:
    """The keys that another transaction could hold; without an idempotency key no other one has its id."""
    return [new.id] if new.aggregation_id is None else [new.id, (new.name, new.aggregation_id)]


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
