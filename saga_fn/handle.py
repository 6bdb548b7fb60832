"""Typed handles: a registered saga, and one run of it. The orchestrator carries out their promises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final
from uuid import UUID

from typing_extensions import override

from saga_fn.arguments import check_id, micros_of_delay
from saga_fn.core.facts import has_completed
from saga_fn.definition import SagaDefinition
from saga_fn.engine.attendance import has_workers
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.outward import INTERNAL, judges_its_own, only_public_errors, public_error
from saga_fn.engine.registry import Registered
from saga_fn.engine.requests.first_row import StartRequest
from saga_fn.engine.requests.outcome import drive_to_end, end_of, outcome_of
from saga_fn.engine.requests.rows import read_row
from saga_fn.engine.requests.start import Starter
from saga_fn.engine.requests.start_conflicts import StartedSaga
from saga_fn.engine.views.results import check_name, result_of
from saga_fn.engine.views.snapshots import snapshot_of
from saga_fn.errors import (
    SagaCompensatedError,
    SagaError,
    SagaFailedError,
    is_a,
)
from saga_fn.snapshot import Compensated, Completed, Failed, Outcome, SagaSnapshot
from saga_fn.store.connection import CallerConnection

if TYPE_CHECKING:
    from saga_fn.orchestrator import SagaOrchestrator

D = TypeVar("D")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@final
@only_public_errors
class SagaRun(Generic[R_co]):
    """One saga, started or attached to. Awaiting it, in any process, never touches it.

    A handle makes it: `SagaHandle.start`, `start_many` or `attach`.

    Args:
        engine: The engine of the orchestrator.
        started: The saga.
        definition: The definition that its result is read by.
        name: The name of its handle.

    Attributes:
        id: The saga's id.
        created: Whether this very call started it. False for a repeat under the same idempotency key, and when attached.
        retained: False if a repeat under the same idempotency key has met a saga that was deleted after its end. Nothing was
            started then, and `result`, `outcome` and `snapshot` raise SagaDeletedError.

    Raises:
        SagaError: It was not made by a handle.
    """

    def __init__(
        self, engine: SagaEngine, started: StartedSaga, definition: SagaDefinition[Any, R_co], name: str
    ) -> None:  # Any: what it was started with does not matter any more
        if not is_a(started, StartedSaga):
            raise SagaError("a run is made by a handle", hint="handle.start(data), or handle.attach(saga_id)")
        self._engine = engine
        self._definition = definition
        self._name = name
        self._live = started.live
        self.id: UUID = started.id
        self.created: bool = started.created
        """Whether this very call started it; False for a repeat under the same idempotency key, and when attached."""
        self.retained: bool = started.retained
        """False if a repeat under the same idempotency key has met a saga that was deleted after its end."""

    @override
    def __repr__(self) -> str:
        return f"<run {self.id}>"

    @judges_its_own
    async def result(self, timeout: timedelta | float | None = None, *, wait_parked: bool = False) -> R_co:
        """Wait until the saga has completed, and give its result.

        Args:
            timeout: The longest to wait, in seconds or as a timedelta. Default: None, without a limit.
            wait_parked: Whether it waits on while the saga is parked, until an operator has acted. Default: False, then it raises.

        Returns:
            The saga's result: the output of the step that its definition names.

        Raises:
            SagaCompensatedError: The saga was rolled back.
            SagaFailedError: The saga ended FAILED.
            SagaParkedError: The saga waits for a person.
            SagaResultTimeoutError: It has not ended within `timeout`.
            SagaNotFoundError: There is no such saga, or the transaction of its start is not committed.
            SagaDeletedError: The saga has ended and was deleted.
            SagaJournalDroppedError: The saga has ended, and the month of its journal was dropped.
            PayloadError: The stored result is not of the type that the definition promises.
            SagaStateError: The saga's id is that of a saga without a stored end.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        try:
            live = await end_of(self._engine, self.id, self._live, timeout, name=self._name, wait_parked=wait_parked)
            if live is not None and has_completed(live.state):  # what this process has seen needs not be read
                return result_of(live, self._definition)
            ended = await outcome_of(self._engine, self.id, live, self._definition)
        except INTERNAL as internal:
            raise public_error(internal) from internal
        match ended:
            case Completed(result=result):
                return result
            case Compensated(snapshot=snapshot, error=error, failure=failure):
                raise SagaCompensatedError(self.id, snapshot=snapshot, error=error, failure=failure)
            case Failed(snapshot=snapshot, error=error, failure=failure):
                left = [f"{left.step_id} ({left.kind.value})" for left in ended.left_over]
                raise SagaFailedError(self.id, snapshot=snapshot, error=error, failure=failure, left_over=left)

    @judges_its_own
    async def outcome(self, timeout: timedelta | float | None = None, *, wait_parked: bool = False) -> Outcome[R_co]:
        """Wait until the saga has ended, and say how, for `match`.

        Args:
            timeout: The longest to wait, in seconds or as a timedelta. Default: None, without a limit.
            wait_parked: Whether it waits on while the saga is parked, until an operator has acted. Default: False, then it raises.

        Returns:
            `Completed`, `Compensated` or `Failed`.

        Raises:
            SagaParkedError: The saga waits for a person.
            SagaResultTimeoutError: It has not ended within `timeout`.
            SagaNotFoundError: There is no such saga, or the transaction of its start is not committed.
            SagaDeletedError: The saga has ended and was deleted.
            SagaJournalDroppedError: The saga has ended, and the month of its journal was dropped.
            PayloadError: The stored result is not of the type that the definition promises.
            SagaStateError: The saga's id is that of a saga without a stored end.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        try:
            live = await end_of(self._engine, self.id, self._live, timeout, name=self._name, wait_parked=wait_parked)
            return await outcome_of(self._engine, self.id, live, self._definition)
        except INTERNAL as internal:
            raise public_error(internal) from internal

    async def snapshot(self) -> SagaSnapshot:
        """Read the saga at this moment, without a lock.

        Returns:
            A snapshot without payloads.

        Raises:
            SagaNotFoundError: There is no such saga, or it has another name.
            SagaDeletedError: The saga has ended and was deleted.
            PayloadError: The id that it was attached by is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        row = await read_row(self._engine, self.id)
        check_name(row, self._name)
        return await snapshot_of(self._engine, row)


@final
@only_public_errors
class SagaHandle(Generic[D, R]):
    """A registered saga, with the types of its initial data and of its result.

    `SagaOrchestrator.register` makes it.

    Args:
        orchestrator: The orchestrator that it is registered with.
        starter: The orchestrator's way to start sagas.
        registered: The name and version.
        definition: The saga's definition.
    """

    def __init__(
        self,
        orchestrator: SagaOrchestrator,
        starter: Starter,
        registered: Registered,
        definition: SagaDefinition[D, R],
    ) -> None:
        self._orchestrator = orchestrator
        self._starter = starter
        self._registered = registered
        self.definition = definition

    @override
    def __repr__(self) -> str:
        return f"<saga {self.name}>"

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return self._registered.name

    @judges_its_own
    async def start(
        self,
        data: D,
        /,
        *,
        aggregation_id: str | None = None,
        idempotency_key: str | None = None,
        trace_id: str | None = None,
        trace_carrier: Mapping[str, str] | None = None,
        delay: timedelta | None = None,
        connection: CallerConnection | None = None,
        notify: bool = False,
    ) -> SagaRun[R]:
        """Start a saga. It is durable when this returns, and goes on in the background.

        Args:
            data: Its initial data.
            aggregation_id: Its business key, 1 to 255 characters. At most one saga per name and key is active. Default: None, no
                key.
            idempotency_key: The name of this request, 1 to 255 characters. The same key gives the same saga, whose `created` is
                False then. A key counts within the saga's name and `aggregation_id`: beside another `aggregation_id`, or
                without it, the same key starts another saga. Default: None, each call starts a saga.
            trace_id: An id for your logs, 1 to 255 characters. Default: a random one.
            trace_carrier: Headers of your trace, as a mapping of strings of 2,048 bytes at most: each step finds them in its
                StepContext. Default: None.
            delay: How much later it begins, as a timedelta of 0 to 365 days. Default: at once.
            connection: A connection with an open transaction, of asyncpg or as `saga_fn.store.CallerConnection` says. The start
                becomes part of that transaction: the saga begins when it is committed, and never if it is rolled back. No other
                connection is used. After the commit, await `SagaOrchestrator.committed`, or a worker finds it at its next look.
                Default: None.
            notify: Whether the transaction tells other processes of it when it is committed, by NOTIFY. PostgreSQL lets all commits
                that notify pass one after another, in the whole server. So a busy service leaves it out, and awaits
                `SagaOrchestrator.committed` after its commit. Default: False.

        Returns:
            The run: it can be awaited, here or by `attach` in any process.

        Raises:
            ActiveSagaAlreadyExistsError: Another saga of this name and `aggregation_id` is active.
            StartConflictError: The `idempotency_key` was used beside this `aggregation_id` with other data.
            StartBusyError: Another open transaction holds the same key for longer than `key_wait` of SagaOrchestrator. PostgreSQL
                has aborted the transaction of `connection` then. A start without a key waits for no transaction.
            PayloadError: The data or a key cannot be stored.
            SagaError: The orchestrator is not entered, `connection` has no transaction, or `notify` stands without one.
            StoreError: The database does not answer, or refuses.

        Example::

            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("INSERT INTO orders (id) VALUES ($1)", order.order_id)
                run = await orders.start(order, idempotency_key=order.order_id, connection=connection)
            await orchestrator.committed()
        """
        micros = micros_of_delay(delay)
        request = StartRequest(
            self._registered, data, aggregation_id, idempotency_key, trace_id, delay=micros, trace_carrier=trace_carrier
        )
        try:
            started = await self._starter.start(request, connection, notify=notify)
        except INTERNAL as error:
            raise public_error(error) from error
        return self._run(started)

    async def start_many(
        self,
        data: Iterable[D],
        /,
        *,
        aggregation_id: Callable[[D], str] | None = None,
        idempotency_key: Callable[[D], str] | None = None,
        delay: timedelta | None = None,
        connection: CallerConnection | None = None,
        notify: bool = False,
    ) -> list[SagaRun[R]]:
        """Start a saga for each of many data, many per statement. All are durable when this returns.

        Args:
            data: The initial data of each.
            aggregation_id: A function from the data of a saga to its business key. Default: None, no key.
            idempotency_key: A function from the data of a saga to the name of the request, as for `start`. Default: None, no key.
            delay: How much later they begin, as a timedelta of 0 to 365 days. Default: at once.
            connection: A connection with an open transaction, as for `start`. Default: None.
            notify: Whether the transaction tells other processes of them, as for `start`. Default: False.

        Returns:
            The runs, in the order of `data`.

        Raises:
            PayloadError: Data or a key cannot be stored; nothing was started.
            ActiveSagaAlreadyExistsError: A key is taken; the other sagas were started.
            StartConflictError: An `idempotency_key` was used with other data; the other sagas were started.
            StartBusyError: Another open transaction holds a key; the other sagas were started.
            SagaError: The orchestrator is not entered, `connection` has no transaction, or `notify` stands without one.
            StoreError: The database does not answer, or refuses.

        Example::

            runs = await orders.start_many(new_orders, idempotency_key=lambda order: order.order_id)
        """
        started = await self._starter.start_many(
            self._registered,
            data,
            aggregation_id=aggregation_id,
            idempotency_key=idempotency_key,
            delay=delay,
            connection=connection,
            notify=notify,
        )
        return [self._run(each) for each in started]

    async def run(
        self,
        data: D,
        /,
        *,
        aggregation_id: str | None = None,
        idempotency_key: str | None = None,
        timeout: timedelta | float | None = None,
    ) -> R:
        """Start a saga and await its result. Outside of `async with` the saga runs in this very coroutine.

        Args:
            data: Its initial data.
            aggregation_id: Its business key, as for `start`. Default: None, no key.
            idempotency_key: The name of this request, as for `start`. Default: None, each call starts a saga.
            timeout: The longest to wait, in seconds or as a timedelta. The saga goes on all the same. Default: None, without a
                limit.

        Returns:
            The saga's result.

        Raises:
            SagaCompensatedError: The saga was rolled back.
            SagaFailedError: The saga ended FAILED.
            SagaParkedError: The saga waits for a person.
            SagaResultTimeoutError: It has not ended within `timeout`.
            SagaNotFoundError: The saga was deleted meanwhile.
            ActiveSagaAlreadyExistsError: Another saga of this name and `aggregation_id` is active.
            StartConflictError: The `idempotency_key` was used with other data.
            StartBusyError: Another open transaction holds the same key.
            PayloadError: The data or a key cannot be stored.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        if self._orchestrator.entered or has_workers(self._orchestrator.engine.store):
            run = await self.start(data, aggregation_id=aggregation_id, idempotency_key=idempotency_key)
            return await run.result(timeout)
        with self._orchestrator.attending():
            run = await self.start(data, aggregation_id=aggregation_id, idempotency_key=idempotency_key)
            await drive_to_end(self._orchestrator.engine, run.id, timeout)
            return await run.result(timeout)

    def attach(self, saga_id: UUID) -> SagaRun[R]:
        """Give a saga of this name that was started before, here or elsewhere, under any version of its definition.

        It asks nothing yet. The first look raises SagaNotFoundError for the id of a saga of another name. So an id that came in
        a URL can be passed on.

        The result is the output of the step that gave the result in the saga's own version. It has that version's type where this
        process has registered that version. `result` and `outcome` raise PayloadError if this version promises a result and that
        one gives none, or one that cannot be read as this one's.

        Args:
            saga_id: The saga's id.

        Returns:
            The run, whose `created` is False.

        Raises:
            PayloadError: The id is no UUID.
            SagaError: The handle was not made by an orchestrator.
        """
        check_id(saga_id)
        return self._run(StartedSaga(saga_id, created=False))

    def _run(self, started: StartedSaga) -> SagaRun[R]:
        return SagaRun(self._orchestrator.engine, started, self.definition, self.name)
