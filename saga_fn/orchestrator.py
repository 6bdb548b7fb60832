"""The face of the library: register sagas, start them, await them, and let this process work on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, final, overload
from uuid import UUID

from returns.result import Result

from saga_fn.arguments import check_id, check_is, check_size, check_whole, is_whole, micros_of_delay
from saga_fn.backoff import Backoff
from saga_fn.codec import PayloadType
from saga_fn.definition import Event, SagaDefinition
from saga_fn.engine.around import Around
from saga_fn.engine.claims import drive_due, drive_one
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.health import health_of, not_entered
from saga_fn.engine.instrument import Instrument, all_of
from saga_fn.engine.life import Life
from saga_fn.engine.observe.observers import Observer
from saga_fn.engine.options import MEBIBYTE, EngineOptions, LogErrors
from saga_fn.engine.outward import only_public_errors
from saga_fn.engine.registry import Registered
from saga_fn.engine.requests.events import send_to_saga
from saga_fn.engine.requests.first_row import StartRequest
from saga_fn.engine.requests.notify import is_current_token, notify
from saga_fn.engine.requests.operate import begin_now
from saga_fn.engine.requests.outcome import LONGEST_POLL
from saga_fn.engine.requests.outside_event import Delivery, enveloped
from saga_fn.engine.requests.rows import read_row
from saga_fn.engine.stop_signals import stop_signals
from saga_fn.engine.transactions import check_transactions
from saga_fn.engine.views.snapshots import snapshot_of
from saga_fn.errors import (
    PayloadError,
    SagaDefinitionError,
    SagaError,
    shown,
)
from saga_fn.handle import SagaHandle
from saga_fn.outgoing import OutgoingOptions, Publisher, PublishFunction
from saga_fn.sender import EventSender, send_many
from saga_fn.snapshot import Health, SagaSnapshot
from saga_fn.store.chosen import chosen_store
from saga_fn.store.connection import CallerConnection, Pool
from saga_fn.store.protocol import KEY_WAIT, Store
from saga_fn.store.records import moment_of, time_of

D = TypeVar("D")
R = TypeVar("R")
T = TypeVar("T")


@final
@only_public_errors
class SagaOrchestrator:
    """Runs sagas in this process and keeps them in a PostgreSQL schema (or, for tests, in a MemoryStore).

    The constructor and `register` do no I/O. Inside `async with` a worker runs sagas. Without it, and with a pool, nothing runs in
    the background: `start`, `notify`, `run_due`, snapshots and SagaAdmin work all the same.

    Args:
        store: A DSN, an asyncpg pool of the caller's, a MemoryStore, or a store of your own (see `saga_fn.store`).
        schema: The schema of the database that holds the tables. Default: "saga_fn".
        migrate: Whether entering applies the schema. Default: False, entering only checks it.
        concurrency: How many sagas this process runs at once, 0 or more. With 0 it only starts, sends and awaits. Default: 16.
        lease: How long other processes wait before they take over the sagas of a silent one, more than 0 and at most 365 days. It has
            nothing to do with a step's timeout. Default: 15 seconds.
        poll_interval: The longest time between two looks for due sagas, as a timedelta. A NOTIFY wakes the worker earlier.
            Default: 1 second.
        stop_timeout: How long leaving waits for the steps that run, before it cuts them short, as a timedelta. Default: 20
            seconds.
        key_wait: The longest a start waits for another open transaction that holds the same key, 0 to 365 days. Default: 2
            seconds.
        keep_operations: How long workers keep the records of what operators have done, 1 to 36,500 days; None keeps them for
            ever. Default: 730 days.
        max_payload_bytes: The longest encoded payload, in bytes. Default: 1,048,576.
        shards: How many shards the schema was migrated with, 1 to 4,096. Default: 1.
        pool_size: How many connections the library keeps for itself, 1 or more. It counts for a DSN only. Default: 4.
        max_connections: How many connections of the pool given are used at once, 1 or more. It counts for a pool only. Default: 2.
        transactional_connections: How many transactional steps run at once, 1 or more; others wait their turn. Each has a connection
            beside `pool_size` or `max_connections`, and none is opened before such a step runs. Default: 4.
        listen: Whether one more connection listens for NOTIFY. Default: True.
        log_errors: "type" logs a step's exception by its type, and at DEBUG its traceback without messages. "traceback" logs the
            whole traceback, whose messages may hold what a payload holds. Default: "type".
        log_repeats: How many warnings that say the same are logged within 10 seconds, 1 or more; the others are counted, and told
            as one line. They say the same if they have one text, saga name, step and error. None logs all of them. Default: 20.
        observers: Functions that are told each fact: see `saga_fn.observe`. Default: none.
        around: Functions that give the async context manager in which each call of a step runs: see
            `saga_fn.observe.StepCall`. The first is outermost. Default: none.
        statement_cache_size: How many prepared statements a connection keeps, 0 or more. 0 is for a pooler in transaction mode.
            It counts for a DSN only. Default: None, the driver's own number.
        listen_dsn: Another way to the database for LISTEN, around a pooler in transaction mode. Default: None, the same way.
        read_only: Whether this process only looks, so that a replica will do. It needs `concurrency=0`. Default: False.
        publishers: The publishers of outgoing messages, by topic: each a `saga_fn.outgoing.Publisher`, or an async function that
            does what its `publish` does. A key is a topic, or a prefix with a star, as in "orders.*". The longest that fits
            counts. Default: none.
        outgoing: How messages are given to them: time limits, attempts, and what a dead message means for those behind it.
            Default: `OutgoingOptions()`.
        instruments: Tools of telemetry, as `saga_fn.otel` and `saga_fn.prometheus` make them; see `saga_fn.observe.Instrument`. Their
            observers are told before those of `observers`, and their code is around that of `around`. Default: none.

    Raises:
        SagaError: An option is out of its range, or `read_only` stands beside a worker or a migration.
        StoreError: The store is none of the three, or an option does not fit it.
        StoreRefusedError: The DSN cannot be read.

    Example::

        async with SagaOrchestrator("postgresql://localhost/shop", migrate=True) as orchestrator:
            orders = orchestrator.register(create_order)
            payment = await orders.run(Order("order-123"))
    """

    def __init__(
        self,
        store: str | Pool | Store,
        *,
        schema: str = "saga_fn",
        migrate: bool = False,
        concurrency: int = 16,
        lease: timedelta = timedelta(seconds=15),
        poll_interval: timedelta = timedelta(seconds=1),
        stop_timeout: timedelta = timedelta(seconds=20),
        key_wait: timedelta = KEY_WAIT,
        keep_operations: timedelta | None = timedelta(days=730),
        max_payload_bytes: int = MEBIBYTE,
        shards: int = 1,
        pool_size: int = 4,
        max_connections: int = 2,
        transactional_connections: int = 4,
        listen: bool = True,
        log_errors: LogErrors = "type",
        log_repeats: int | None = 20,
        observers: Iterable[Observer] = (),
        around: Iterable[Around] = (),
        statement_cache_size: int | None = None,
        listen_dsn: str | None = None,
        read_only: bool = False,
        instruments: Iterable[Instrument] = (),
        publishers: Mapping[str, Publisher | PublishFunction] | None = None,
        outgoing: OutgoingOptions | None = None,
    ) -> None:
        telemetry = all_of(_each("instruments", instruments, "instruments=[saga_fn.otel.traces()]"))
        options = EngineOptions(
            concurrency=concurrency,
            lease=lease,
            poll_interval=poll_interval,
            stop_timeout=stop_timeout,
            key_wait=key_wait,
            keep_operations=keep_operations,
            max_payload_bytes=max_payload_bytes,
            log_errors=log_errors,
            log_repeats=log_repeats,
            observers=(*telemetry.observers, *_each("observers", observers)),
            around=(*telemetry.around, *_each("around", around)),
            around_start=telemetry.around_start,
            stats_every=telemetry.stats_every,
            publishers={} if publishers is None else publishers,
            outgoing=OutgoingOptions() if outgoing is None else outgoing,
        )
        if read_only and (concurrency or migrate):
            raise SagaError(
                "read_only=True is for a process that only looks", hint="pass concurrency=0 and no migrate=True with it"
            )
        chosen = chosen_store(
            store,
            schema=schema,
            shards=shards,
            pool_size=pool_size,
            max_connections=max_connections,
            transactional_connections=transactional_connections,
            listen=listen,
            time_limit=options.time_limit,
            statement_cache_size=statement_cache_size,
            listen_dsn=listen_dsn,
            read_only=read_only,
        )
        self._life = Life(chosen, options, migrate=migrate, read_only=read_only, needs_entering=isinstance(store, str))
        self.engine: SagaEngine = self._life.engine
        self._store = chosen

    @property
    def entered(self) -> bool:
        """Whether it is entered, and not left."""
        return self._life.entered

    # Lifecycle.

    async def __aenter__(self) -> Self:
        """Connect, check (or apply) the schema, and start the worker.

        It may be entered again after it was left, in another event loop as well.

        Raises:
            SagaError: It is entered already, or belongs to another process, thread or event loop.
            SchemaMissingError: The schema is not there, or too old, and `migrate` is False.
            SchemaTooNewError: A newer library migrated the schema.
            SchemaDiffersError: A library with another version of the same migration did.
            ServerTooOldError: The server is older than PostgreSQL 15.
            StoreError: The database does not answer, or refuses.
        """
        await self._life.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Claim nothing more, finish the steps that run or hand their sagas back, disconnect.

        It takes `stop_timeout`, and 5 seconds more at most when the database does not answer. If it is cancelled, it cuts the
        steps that run short at once, and still gives everything back. Leaving does nothing unless it was entered.

        Args:
            kind: The class of the exception that ends the block, or None.
            error: That exception, or None.
            traceback: Its traceback, or None.
        """
        await self._life.leave()

    async def run_forever(self) -> None:
        """Work until SIGTERM or SIGINT. It is the only method that installs signal handlers.

        Only the main thread hears of signals. In another one it works until its task is cancelled. One signal ends every call of
        it in the same event loop.

        Raises:
            SagaError: It belongs to another process, thread or event loop.
            StoreError: As `async with` raises it.
        """
        with stop_signals() as stop:
            if self.entered:
                self._life.check_home()
                await stop.wait()
            else:
                async with self:
                    await stop.wait()

    @contextmanager
    def attending(self) -> Generator[None]:
        """Count the caller as one who works on what is due, while the block lasts.

        Returns:
            A context manager, which gives nothing.
        """
        with self._life.attending():
            yield

    # Registering.

    @overload
    def register(
        self, definition: SagaDefinition[D, R], /, *, version: int = ..., concurrency: int | None = ...
    ) -> SagaHandle[D, R]: ...
    @overload
    def register(
        self,
        name: str,
        definition: SagaDefinition[D, R],
        /,
        *,
        version: int = ...,
        concurrency: int | None = ...,
    ) -> SagaHandle[D, R]: ...
    def register(
        self,
        name: str | SagaDefinition[Any, Any],
        definition: SagaDefinition[Any, Any] | None = None,
        /,
        *,
        version: int = 1,
        concurrency: int | None = None,
    ) -> SagaHandle[Any, Any]:  # Any: see the overloads
        """Make a saga known to this process, which starts and works on registered ones only.

        Register a changed definition under the next `version`, beside the old one for as long as its sagas live.

        Args:
            name: The saga's name, 1 to 255 printable characters. It may be left out for a definition made by `@saga`.
            definition: The saga, made by `@saga` or `SagaBuilder.build`. Default: the first argument.
            version: A whole number from 1 to 2,147,483,647. Default: 1.
            concurrency: How many sagas of this name this process runs at once, of all versions together, 1 or more. If the systems
                that they call fail, the other sagas still have slots. One version may give it for all of them. A later call for
                the same version replaces it, if no other version has given one. `resume`, and `run` outside of `async with`, work on
                their own saga at once. Default: None, no limit of its own.

        Returns:
            The handle that starts such sagas.

        Raises:
            SagaDefinitionError: The definition is none, or the name or version cannot be one; or it publishes to a topic that has no
                publisher here. Or it has a transactional step for which this store, or its pool, has no connection, or whose
                `timeout` is too long for its isolation. Or another version of it has another `concurrency`.
            SagaError: `concurrency` is out of its range.
        """
        given: object = definition if isinstance(name, str) else name
        chosen = name if isinstance(name, str) else (getattr(name, "name", None) or "")
        if not isinstance(name, str) and definition is not None:
            raise SagaDefinitionError(
                f"register takes one definition, and was given two, {shown(name)} and {shown(definition)}",
                hint="call it for each; a name stands before a definition: register('create_order', definition)",
            )
        if isinstance(name, str) and definition is None:
            raise SagaDefinitionError(
                f"register was given the name {shown(name)} and no definition",
                hint="register(name, definition), or register(definition) for one that @saga has made",
            )
        if not isinstance(given, SagaDefinition):
            raise SagaDefinitionError(
                f"register wants a SagaDefinition, not {shown(given)}", hint="builder.build() or @saga makes one"
            )
        if not 0 < len(chosen) <= 255 or not chosen.isprintable():  # noqa: PLR2004 - characters
            raise SagaDefinitionError(
                f"a saga's name must have 1 to 255 printable characters, not {shown(chosen)}",
                hint='register("create_order", definition)',
            )
        if not is_whole(version) or not 1 <= version < 2**31:
            raise SagaDefinitionError(
                f"version must be a whole number, 1 or more, not {shown(version)}", hint="version=2"
            )
        found: SagaDefinition[Any, Any] = given  # Any: see the overloads
        registered = Registered(chosen, version, found, self.engine.topics)
        check_transactions(found, self._store, self.engine.options.lease)
        if concurrency is not None:
            check_whole("concurrency", concurrency, least=1)
        self.engine.topics.check_definition(chosen, found)
        self.engine.registry.add(registered, concurrency)
        self.engine.relay.expect(hooks=found.hooks is not None)
        self._life.worker.look_at_all()
        return SagaHandle(self, self._life.starter, registered, found)

    def handle(self, definition: SagaDefinition[D, R], /) -> SagaHandle[D, R]:
        """Give the typed handle of a registered definition, wherever it is wanted.

        Args:
            definition: The definition, as it was registered.

        Returns:
            The same handle as `register`.

        Raises:
            SagaDefinitionError: It is no SagaDefinition.
            SagaNotRegisteredError: It was not registered here.
        """
        hint = "builder.build() or @saga makes one"
        check_is(definition, SagaDefinition, "a SagaDefinition", error=SagaDefinitionError, hint=hint)
        return SagaHandle(self, self._life.starter, self.engine.registry.of(definition), definition)

    # Starting and telling.

    async def start(
        self,
        *,
        saga_name: str,
        initial_data: object,
        aggregation_id: str | None = None,
        idempotency_key: str | None = None,
        trace_id: str | None = None,
        trace_carrier: Mapping[str, str] | None = None,
        delay: timedelta | None = None,
        connection: CallerConnection | None = None,
        notify: bool = False,
    ) -> UUID:
        """Start a saga by name, checked at run time. It is durable when this returns.

        Args:
            saga_name: The name that the saga is registered under. Its newest version is started.
            initial_data: An instance of the saga's initial type, or a dict that stands for one.
            aggregation_id: Its business key, 1 to 255 characters; see `SagaHandle.start`. Default: None.
            idempotency_key: The name of this request, 1 to 255 characters; see `SagaHandle.start`. Default: None.
            trace_id: An id for your logs, 1 to 255 characters. Default: a random one.
            trace_carrier: Headers of your trace, as a mapping of strings of 2,048 bytes at most: each step finds them in its
                StepContext. Default: None.
            delay: How much later it begins, as a timedelta of 0 to 365 days. Default: at once.
            connection: A connection with an open transaction, which the start becomes part of; see `SagaHandle.start`. Default:
                None.
            notify: Whether that transaction tells other processes of it; see `SagaHandle.start`. Default: False.

        Returns:
            The saga's id; with a known `idempotency_key` that of the saga it has started.

        Raises:
            SagaNotRegisteredError: No saga of this name is registered here.
            ActiveSagaAlreadyExistsError: Another saga of this name and `aggregation_id` is active.
            StartConflictError: The `idempotency_key` was used with other data.
            StartBusyError: Another open transaction holds the key for longer than `key_wait`.
            PayloadError: The data or a key cannot be stored.
            SagaError: The orchestrator is not entered, `connection` has no transaction, or `notify` stands without one.
            StoreError: The database does not answer, or refuses.
        """
        registered = self.engine.registry.latest(saga_name)
        micros = micros_of_delay(delay)
        request = StartRequest(
            registered,
            initial_data,
            aggregation_id,
            idempotency_key,
            trace_id,
            delay=micros,
            trace_carrier=trace_carrier,
        )
        return (await self._life.starter.start(request, connection, notify=notify)).id

    async def start_many(
        self,
        *,
        saga_name: str,
        initial_data: Iterable[object],
        aggregation_id: Callable[[Any], str] | None = None,
        idempotency_key: Callable[[Any], str] | None = None,
        delay: timedelta | None = None,
        connection: CallerConnection | None = None,
        notify: bool = False,
    ) -> list[UUID]:  # Any: the saga is known by its name alone
        """Start many sagas of one name, many per statement. All are durable when this returns.

        Args:
            saga_name: The name that the saga is registered under.
            initial_data: The data of each, as for `start`.
            aggregation_id: A function from the data of a saga to its business key. Default: None, no key.
            idempotency_key: A function from the data of a saga to the name of the request. Default: None, no key.
            delay: How much later they begin, as a timedelta of 0 to 365 days. Default: at once.
            connection: A connection with an open transaction, which the starts become part of; see `SagaHandle.start`. Default:
                None.
            notify: Whether that transaction tells other processes of them; see `SagaHandle.start`. Default: False.

        Returns:
            The ids of the sagas, in the order of `initial_data`.

        Raises:
            SagaNotRegisteredError: No saga of this name is registered here.
            ActiveSagaAlreadyExistsError: A key is taken; the other sagas were started.
            StartConflictError: An `idempotency_key` was used with other data; the other sagas were started.
            StartBusyError: Another open transaction holds a key; the other sagas were started.
            PayloadError: Data or a key cannot be stored; nothing was started.
            SagaError: The orchestrator is not entered, `connection` has no transaction, or `notify` stands without one.
            StoreError: The database does not answer, or refuses.
        """
        registered = self.engine.registry.latest(saga_name)
        started = await self._life.starter.start_many(
            registered,
            initial_data,
            aggregation_id=aggregation_id,
            idempotency_key=idempotency_key,
            delay=delay,
            connection=connection,
            notify=notify,
        )
        return [each.id for each in started]

    def to(self, target: UUID | tuple[str, str], event: Event[T], /, *, may_be_new: bool = False) -> EventSender[T]:
        """Name the saga that an event is for, whether it waits for the event now or later.

        Args:
            target: The saga's id, or its name and `aggregation_id`. A name and key stand for the saga that is active under
                them. Where none is, they stand for the first that starts, or for the next if the event is `for_next`.
            event: The event that the saga's definition waits for.
            may_be_new: Whether the name may be unknown: this process has not registered it, and no saga of it was ever started with
                a key. Default: False, so that a misspelt name is refused.

        Returns:
            The sender; `send` sends one event.

        Raises:
            PayloadError: The target is neither an id nor a name and a key.
            SagaDefinitionError: The event is no Event.

        Example::

            await orchestrator.to(("create_order", "order-123"), approval).send(Approval(by="ann"), event_id=message.id)
        """
        return EventSender(self.engine, target, event, may_be_new=may_be_new)

    async def send_many(
        self,
        event: Event[T],
        events: Iterable[tuple[UUID | tuple[str, str], T]],
        /,
        *,
        event_id: Callable[[T], str] | None = None,
        correlation_id: Callable[[T], str] | None = None,
        expires: timedelta | datetime | None = None,
        may_be_new: bool = False,
    ) -> list[Result[Delivery, SagaError]]:
        """Send one kind of event to many sagas, many per statement, each as `EventSender.send` does and judged by itself.

        Those for one saga are sent in their order.

        Args:
            event: The event that the sagas wait for.
            events: Pairs of a target, as `to` takes it, and a payload, as `send` takes it.
            event_id: A function from a payload to the id that names this event, as for `send`. Default: None, no ids.
            correlation_id: A function from a payload to the thing that it is about, as for `send`. Default: None, nothing.
            expires: The time after which each of them is void, a timedelta of at most 365 days or a datetime, as for `send`.
                Default: None.
            may_be_new: Whether the name of a target may be unknown, as for `to`. Default: False.

        Returns:
            The outcome of each, in the order of `events`: a Success with what `send` returns, or a Failure with what it raises.

        Raises:
            PayloadError: A target is none, or a payload, an id or `expires` is refused; nothing was sent.
            SagaDefinitionError: The event is no Event.
            TypeValidationError: The event does not say which type it brings.
            SagaError: The orchestrator is not entered, or another argument is not what it has to be.

        Example::

            ends = await orchestrator.send_many(approval, [(run.id, Approval(by="ann")) for run in runs])
            refused = [end.failure() for end in ends if isinstance(end, Failure)]
        """
        return await send_many(
            self.engine,
            event,
            events,
            event_id=event_id,
            correlation_id=correlation_id,
            expires=expires,
            may_be_new=may_be_new,
        )

    async def notify(self, saga_id: UUID, token: UUID, event: Mapping[str, Any] | None = None) -> bool:  # Any: JSON
        """Hand an event to a saga that is known by its id and token alone. For porting; use `to` for typed events.

        A saga that waits for a retry sees the event at once. An event with the keys `event_type` and `payload` (and `event_id`,
        `correlation_id`) is for the step that waits for that name.

        Args:
            saga_id: The saga's id.
            token: The `step_execution_token` of its snapshot.
            event: A dict of JSON values. Default: an empty one.

        Returns:
            True if the event was stored for the saga, False if `token` is not the saga's present one.

        Raises:
            SagaNotFoundError: There is no such saga.
            PayloadError: The event is not JSON, or too large.
            SagaStateError: The saga waits for no such event, or its inbox is full.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        self._life.require_open()
        check_id(saga_id)
        check_id(token, "a token")
        if event is not None:
            check_is(event, Mapping, "a dict of JSON values", error=PayloadError, hint='e.g. {"approved": True}')
        payload = PayloadType.of(dict[str, Any]).encode(dict(event or {}))
        check_size("the event", payload, self.engine.options.max_payload_bytes)
        named = enveloped(event or {})
        if named is None:
            return await notify(self.engine, saga_id, token, payload)
        return await is_current_token(self.engine, saga_id, token) and await send_to_saga(
            self.engine, saga_id, named
        ) in (
            Delivery.ACCEPTED,
            Delivery.BUFFERED,
        )

    async def committed(self) -> None:
        """Say that a transaction of yours is committed: what this process has started or sent in it by `connection=` begins at once.

        Without it a look of a worker for all that is due finds it: within two seconds, or `poll_interval` where that is longer, or
        22 s while a transaction that has been open for long makes such looks slow. It
        raises for no store that does not answer, because the commit is done. It costs nothing where nothing was started or sent so.

        Raises:
            SagaError: The orchestrator is not entered.

        Example::

            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("UPDATE orders SET paid = true WHERE id = $1", order_id)
                await orchestrator.to(("order", order_id), paid).send(Paid(order_id), connection=connection)
            await orchestrator.committed()
        """
        self._life.require_open()
        await self.engine.committed()

    # Working without a worker.

    async def run_due(self, limit: int = 100) -> int:
        """Work on the sagas that are due now, each until it ends or waits. For schedulers.

        Args:
            limit: How many sagas at most, 0 or more. Default: 100.

        Returns:
            How many sagas it worked on.

        Raises:
            SagaError: `limit` is negative, or the orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        self._life.require_open()
        check_whole("limit", limit, least=0)
        with self.attending():
            return await drive_due(self.engine, limit)

    async def resume(self, saga_id: UUID) -> bool:
        """Work on one saga now, until it ends or waits. One that was started with a delay begins now.

        Args:
            saga_id: The saga's id.

        Returns:
            True if it was worked on, here or by a worker that took it at once. False if it has ended, if another process works on
            it, or if there is no such saga.

        Raises:
            PayloadError: The id is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        self._life.require_open()
        check_id(saga_id)
        with self.attending():
            begun = await begin_now(self.engine, saga_id)
            return await drive_one(self.engine, saga_id) or begun

    async def run_until_idle(self, *, past_waits: bool = False) -> None:
        """Run every saga to its end, or to where only a person or an event can help. For tests.

        On a MemoryStore it jumps over delays, sleeps and retries; on PostgreSQL it waits for them. A saga that waits for an event
        stops there, so that a test can send it. `run_due` leaves the clock alone.

        Args:
            past_waits: Whether it goes on past such waits, to their timeouts and to the saga's deadline. Default: False.

        Raises:
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.

        Example::

            run = await orders.start(order)
            await orchestrator.run_until_idle()                                   # waits for the approval now
            await orchestrator.to(run.id, approval).send(Approval("ann"))
            await orchestrator.run_until_idle()
        """
        self._life.require_open()
        with self.attending():
            await self._run_until_idle(past_waits=past_waits)

    async def _run_until_idle(self, *, past_waits: bool) -> None:
        passed_over = Backoff(0.005, LONGEST_POLL)
        while True:
            while await drive_due(self.engine, 1000):
                passed_over.reset()
            if self.engine.held:
                await asyncio.sleep(0.005)
                continue
            if await self.engine.relay.work_off():
                continue
            work = await self._store.due_work(self.engine.registry.pairs, past_waits=past_waits)
            if work.next_due is None:
                return
            wait = (work.next_due - time_of(work.now)).total_seconds()
            if wait <= 0:  # due, and not claimed: another process may have its plan, and has some time for it
                await passed_over.pause()
            elif not self._store.jump_to(moment_of(work.next_due)):
                await asyncio.sleep(max(0.005, min(wait, LONGEST_POLL)))

    # Looking.

    async def get_snapshot(self, saga_id: UUID) -> SagaSnapshot:
        """Read the saga at this moment, without a lock.

        Args:
            saga_id: The saga's id.

        Returns:
            A snapshot without payloads; `SagaAdmin.get_saga` has them.

        Raises:
            SagaNotFoundError: There is no such saga.
            PayloadError: The id is none.
            SagaError: The orchestrator is not entered.
            StoreError: The database does not answer, or refuses.
        """
        return await snapshot_of(self.engine, await read_row(self.engine, saga_id))

    async def health(self) -> Health:
        """Say whether this process can do its work, and which sagas need a person. It never raises for what it reports.

        It takes three cheap queries, and returns within 3 seconds. A database that has not answered by then counts as one that
        does not answer.

        Returns:
            The report: a probe uses `ok`, an alert uses `attention`.
        """
        try:
            self._life.require_open()
        except SagaError as error:
            return not_entered(error.fact, in_flight=len(self.engine.held))
        return await health_of(self.engine, self._life.worker, entered=self.entered, read_only=self._life.read_only)


def _each(name: str, given: Iterable[T], hint: str | None = None) -> Iterable[T]:
    """Its members; raises SagaError for what has none, as one that was passed alone."""
    check_is(given, Iterable, f"{name}: a list of them", error=SagaError, hint=hint or f"{name}=[a_function]")
    return given
