"""Typed handles: a registered saga, and one run of it. What they promise the orchestrator carries out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final
from uuid import UUID

from typing_extensions import override

from saga_fn.core.state import Goal
from saga_fn.definition import SagaDefinition
from saga_fn.engine.arguments import micros_of_delay
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.outward import INTERNAL, judges_its_own, only_public_errors, public_error
from saga_fn.engine.registry import Registered
from saga_fn.engine.requests.first_row import StartRequest
from saga_fn.engine.requests.obstacle import StartedSaga
from saga_fn.engine.requests.operate import read_row
from saga_fn.engine.requests.outcome import drive_to_end, end_of, outcome_of
from saga_fn.engine.requests.start import Starter
from saga_fn.engine.views.results import check_name, result_of
from saga_fn.engine.views.snapshots import snapshot_of
from saga_fn.errors import (
    SagaCompensatedError,
    SagaError,
    SagaFailedError,
    is_a,
)
from saga_fn.snapshot import Compensated, Completed, Failed, Outcome, SagaSnapshot
from saga_fn.store.connection import Connection

if TYPE_CHECKING:
    from saga_fn.orchestrator import SagaOrchestrator

D = TypeVar("D")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@final
@only_public_errors
class SagaRun(Generic[R_co]):
    """One saga, started or attached to. Awaiting it, in any process, never touches it."""

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

    @override
    def __repr__(self) -> str:
        return f"<run {self.id}>"

    @judges_its_own
    async def result(self, timeout: timedelta | float | None = None, *, wait_parked: bool = False) -> R_co:
        """The saga's result, once it has completed.

        Args:
            timeout: the longest to wait, in seconds or as a timedelta; None, the default, waits for ever.
            wait_parked: wait on while the saga is parked, until somebody has mended it; by default that raises.

        Raises SagaCompensatedError or SagaFailedError if it ended otherwise, SagaParkedError if it is parked,
        SagaResultTimeoutError if it has not ended within `timeout`, and SagaNotFoundError if there is none, or the
        transaction that it was started in is not committed.
        """
        try:
            live = await end_of(self._engine, self.id, self._live, timeout, name=self._name, wait_parked=wait_parked)
            if live is not None and live.state.goal is Goal.COMPLETED:  # what this process has seen needs not be read
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

    async def outcome(self, timeout: timedelta | float | None = None, *, wait_parked: bool = False) -> Outcome[R_co]:
        """How the saga ended, for `match`.

        Takes what `result` takes. Raises SagaParkedError, SagaResultTimeoutError and SagaNotFoundError as that does.
        """
        live = await end_of(self._engine, self.id, self._live, timeout, name=self._name, wait_parked=wait_parked)
        return await outcome_of(self._engine, self.id, live, self._definition)

    async def snapshot(self) -> SagaSnapshot:
        """The saga at this moment. Raises SagaNotFoundError."""
        row = await read_row(self._engine, self.id)
        check_name(row, self._name)
        return await snapshot_of(self._engine, row)


@final
@only_public_errors
class SagaHandle(Generic[D, R]):
    """A registered saga: what it is started with and what comes out are in its type."""

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
        delay: timedelta | None = None,
        connection: Connection | None = None,
    ) -> SagaRun[R]:
        """Start a saga; it is durable when this returns, and goes on in the background.

        Args:
            data: what it is started with.
            aggregation_id: its business key, 1 to 255 characters. There is one active saga per name and key: another
                start raises ActiveSagaAlreadyExistsError.
            idempotency_key: names the request, 1 to 255 characters. The same key gives the same saga (`created` is False
                then), with other data StartConflictError.
            trace_id: for your logs, 1 to 255 characters; random by default.
            delay: how much later it is to begin, 0 to 365 days; at once by default.
            connection: an asyncpg connection with a transaction open on it. The start becomes part of that transaction:
                the saga begins when it is committed, and never if it is rolled back. No other connection is used.

        Raises PayloadError for data or a key that cannot be stored, SagaError for a connection without a transaction, and
        StartBusyError if another transaction that is still open holds the same key for longer than `key_wait` of
        SagaOrchestrator. With `connection` the caller's transaction is aborted then; its `lock_timeout` is as before in
        every other case. Without a key a start waits for nobody's transaction.

        Example::

            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("INSERT INTO orders (id) VALUES ($1)", order.order_id)
                run = await orders.start(order, idempotency_key=order.order_id, connection=connection)
        """
        micros = micros_of_delay(delay)
        request = StartRequest(self._registered, data, aggregation_id, idempotency_key, trace_id, micros)
        try:
            started = await self._starter.start(request, connection)
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
        connection: Connection | None = None,
    ) -> list[SagaRun[R]]:
        """Start a saga for each, many a statement; all are durable when this returns, in the order of `data`.

        The keys of each are computed from its data, and mean what they mean to `start`; so do `delay` and `connection`.
        Data that cannot be stored raises PayloadError before anything is started; what another saga or transaction stands
        in the way of raises when the others are started.

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
        """Start a saga and await its result. Outside of `async with` the saga runs in this very coroutine."""
        if self._orchestrator.entered:
            run = await self.start(data, aggregation_id=aggregation_id, idempotency_key=idempotency_key)
            return await run.result(timeout)
        with self._orchestrator.attending():
            run = await self.start(data, aggregation_id=aggregation_id, idempotency_key=idempotency_key)
            await drive_to_end(self._orchestrator.engine, run.id, timeout)
            return await run.result(timeout)

    def attach(self, saga_id: UUID) -> SagaRun[R]:
        """A saga of this name that was started before, here or elsewhere, by whatever version of its definition.

        It asks nothing yet. The first look raises SagaNotFoundError for an id of another saga's, so that an id that came in a
        URL can be passed on. The result is the one of the saga's own version: the output of the step that gave the result
        there, in that version's type where this process knows it. `result` and `outcome` raise PayloadError if that version
        gives no result and this one promises one, or if it is not registered here and its result cannot be read by this one.
        """
        return self._run(StartedSaga(saga_id, created=False))

    def _run(self, started: StartedSaga) -> SagaRun[R]:
        return SagaRun(self._orchestrator.engine, started, self.definition, self.name)
