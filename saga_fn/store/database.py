"""The connections to one PostgreSQL database, and its time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from typing import Final, TypeVar, final
from weakref import WeakSet

import asyncpg

from saga_fn.backoff import Backoff
from saga_fn.core.ids import Moment
from saga_fn.errors import SchemaMissingError, StoreRefusedError, StoreUnavailableError
from saga_fn.store._migrations import MIGRATIONS
from saga_fn.store._queries import Queries
from saga_fn.store.connection import CallerConnection, Connection, Pool, check_loop
from saga_fn.store.connections import BorrowedConnections, Connections, OwnConnections, learn_types_within
from saga_fn.store.driver_errors import DRIVER_ERRORS, of_another_driver, told_of_given, translate_driver_error
from saga_fn.store.dsn import read_dsn
from saga_fn.store.errors import RowLockedError
from saga_fn.store.listener import Listener
from saga_fn.store.migrate import check_schema, migrate, refuse_read_only
from saga_fn.store.pool_check import check_codecs, leave_place, take_place
from saga_fn.store.records import Hint, moment_of
from saga_fn.tasks import Errands
from saga_fn.timeouts import Timeouts

T = TypeVar("T")

LOCK_TIMEOUT: Final = 20
"""Milliseconds that a statement waits for a row that another session has locked."""
_LONGEST_PAUSE = 0.25
_NO_TABLES: Final = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
_NOT_THE_SCHEMA: Final = (*_NO_TABLES, asyncpg.UndefinedColumnError)


@final
class Database:
    """One schema of a database: the typed statements on it, and connections to send them by.

    `work` is for commits and whatever else, `control` for renewals and claims, which never queue behind commits. A
    statement has `time_limit` seconds, with the wait for its connection. One that was cut short is an answer lost.
    """

    def __init__(
        self,
        source: str | Pool,
        *,
        schema: str,
        shards: int,
        pool_size: int,
        max_connections: int,
        transactional_connections: int,
        listen: bool,
        time_limit: float,
        statement_cache_size: int | None,
        listen_dsn: str | None,
        read_only: bool,
    ) -> None:
        self.queries: Queries = Queries(schema)
        self.schema: str = schema
        self.shards: int = shards
        self._listen = listen and not read_only  # a replica does not take a LISTEN
        self.read_only: bool = read_only
        self._pool: Pool | None = None if isinstance(source, str) else source
        self._max_connections = max_connections
        self._listens_by_pool = False
        self.listener: Listener | None = None
        self._time_limit = time_limit
        self._limits = Timeouts()
        self.room_for_steps: int = transactional_connections
        """How many connections of the caller's pool steps may have at most, so that the others need not wait for them."""
        if isinstance(source, str):
            address = read_dsn(source, statement_cache_size=statement_cache_size)
            self._work: Connections = OwnConnections(address, size=max(1, pool_size - 1))
            self._control: Connections = OwnConnections(address, size=1)
            self._for_listening: Connections = OwnConnections(address, size=1)
            self.for_steps: Connections = OwnConnections(address, size=transactional_connections)
        else:
            self._work = self._control = BorrowedConnections(source, limit=max_connections, judge=self._judge)
            self._for_listening = BorrowedConnections(source, limit=1, judge=self._judge)
            size: object = getattr(source, "get_max_size", lambda: None)()
            if isinstance(size, int):
                self.room_for_steps = size - 1 - (listen and not read_only and listen_dsn is None)
            room = self.room_for_steps - max_connections + 1 if isinstance(size, int) else transactional_connections
            self.for_steps = BorrowedConnections(
                source, limit=max(1, min(room, transactional_connections)), judge=self._judge
            )
        self._hears_apart = listen_dsn is not None
        if listen_dsn is not None:
            self._for_listening = OwnConnections(read_dsn(listen_dsn), size=1)
        self._ahead = time.time() - time.monotonic()
        self._listening = Errands()
        self._name: str | None = None
        """The store's, as soon as a connection of its own was used: what a caller's connection leads to is compared with it."""
        self._judged: WeakSet[object] = WeakSet()
        """Connections of the caller's that know the array types, and whose codecs are the driver's own."""

    async def open(self, *, migrate: bool, listen: Callable[[Hint], None] | None) -> None:
        """Connect, check or migrate the schema, and begin to listen.

        Raises StoreError for a pool that cannot do, StoreRefusedError for a server that takes no writes.
        """
        listens = listen is not None and self._listen
        if self._pool is not None:
            by_pool = listens and not self._hears_apart
            take_place(self._pool, listens=by_pool, max_connections=self._max_connections)
            self._listens_by_pool = by_pool
        for connections in (self._work, self._control, self._for_listening, self.for_steps):
            connections.begin_life()
        self._listening = Errands()
        if migrate:
            await self._migrate()
        async with self.work() as connection:
            await check_schema(connection, schema=self.schema, shards=self.shards)
            if not self.read_only:
                await refuse_read_only(connection, schema=self.schema)
            self._name = await self.queries.read_store_name(connection)
        if listens and listen is not None:
            self.listener = Listener(
                self.schema,
                connect=lambda: self._translating(self._for_listening),
                call=self.notify,
                told=listen,
                is_closing=self._is_closing,
            )
            self._listening.add(self.listener.listen())

    async def _judge(self, connection: Connection) -> None:
        await check_codecs(self.queries, connection)
        if self._name is None:
            with suppress(
                *_NO_TABLES
            ):  # migrations are yet to come, or the statement itself fails, and says what is amiss
                self._name = await self.queries.read_store_name(connection)

    def _is_closing(self) -> bool:
        closing: object = getattr(self._pool, "is_closing", None)
        return callable(closing) and bool(closing())

    async def notify(self, *payloads: str, connection: CallerConnection | None = None) -> None:
        """Notify listening processes, in the transaction of a connection that is given."""
        async with self.control() if connection is None else self.within(connection) as chosen:
            await self.queries.notify_workers(chosen, channel=self.schema, payloads=list(payloads))

    async def _migrate(self) -> None:
        """Bring the schema up to date, for as long as that takes; whether the server answers at all is asked first."""
        async with self.work() as connection:
            await connection.fetch("SELECT NULL")
        async with self._translating(self._work) as connection:
            await migrate(connection, schema=self.schema, shards=self.shards)

    async def close(self) -> None:
        """Stop listening and close what is ours."""
        await self._listening.stop()
        if self._listens_by_pool and self._pool is not None:
            self._listens_by_pool = False
            leave_place(self._pool)
        await asyncio.gather(
            self._work.close(), self._control.close(), self._for_listening.close(), self.for_steps.close()
        )

    def now(self) -> Moment:
        """The database's time: its last word, and what this process's monotonic clock says has passed since."""
        return Moment(int((self._ahead + time.monotonic()) * 1_000_000))

    def sync_clock(self, now: datetime) -> Moment:
        """Set the estimate by an answer just received: it was true a moment ago, so the estimate lags and never leads.

        Every way to a saga hears it first: a start keeps its plan, others read or claim. This machine's clock is never used.
        """
        moment = moment_of(now)
        self._ahead = moment / 1_000_000 - time.monotonic()
        return moment

    def work(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one statement."""
        return self._translating(self._work, self._time_limit)

    def on(self, connection: CallerConnection | None) -> AbstractAsyncContextManager[CallerConnection]:
        """The connection given, for a statement in its transaction; else one as `work` gives."""
        return self.work() if connection is None else self.within(connection)

    def control(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one statement that must not wait for commits."""
        return self._translating(self._control, self._time_limit)

    async def persist(self, statement: Callable[[], Awaitable[T]]) -> T:
        """Send a statement until no other session keeps the row locked that it needs.

        Nothing is held between two tries, so that the wait costs no other statement anything. Raises
        StoreUnavailableError when the time limit of a statement is over.
        """
        give_up = time.monotonic() + self._time_limit
        backoff = Backoff(0.01, _LONGEST_PAUSE)
        while True:
            try:
                return await statement()
            except RowLockedError as error:
                if time.monotonic() > give_up:
                    raise StoreUnavailableError(
                        f"another session has kept a row locked for {self._time_limit:g} s",
                        hint="end that session's transaction (pg_stat_activity tells whose it is), then do this again",
                    ) from error
            await backoff.pause()

    @asynccontextmanager
    async def within(self, connection: CallerConnection) -> AsyncGenerator[CallerConnection]:
        """A connection of the caller's, with what its transaction and the driver say told apart by what helps."""
        raw: object = getattr(connection, "_con", connection)  # of a pool's connection: it has the codecs, and stays
        check_loop(raw, "connection given")
        try:
            if raw not in self._judged:
                await learn_types_within(connection)
                await check_codecs(self.queries, connection, whose="connection given")
                await self._check_place(connection)
                with suppress(TypeError):  # not everything can be remembered without being kept
                    self._judged.add(raw)
            yield connection
        except Exception as raised:
            error = of_another_driver(raised)
            if isinstance(error, _NOT_THE_SCHEMA):
                raise SchemaMissingError(
                    self.schema,
                    found=0,
                    needed=MIGRATIONS[-1].number,
                    hint="the transaction is aborted; pass a connection to the database that the orchestrator uses",
                ) from raised
            if isinstance(error, DRIVER_ERRORS):
                raise told_of_given(error) from raised
            raise

    async def _check_place(self, connection: CallerConnection) -> None:
        if self._name is not None and await self.queries.read_store_name(connection) != self._name:
            raise StoreRefusedError(
                "the connection given leads to another database than the orchestrator's",
                hint="pass a connection to the database that the orchestrator uses",
            )

    @asynccontextmanager
    async def _translating(
        self, connections: Connections, time_limit: float | None = None
    ) -> AsyncGenerator[Connection]:
        """A connection, with the driver's exceptions told apart by what helps."""
        # Not a block of its own within this one: events and verbs send many single statements, and each would pay for it.
        task = None if time_limit is None else self._limits.begin(time_limit)
        try:
            async with connections.connection() as connection:
                try:
                    yield connection
                except _NO_TABLES:
                    await check_schema(connection, schema=self.schema, shards=self.shards)  # says what is amiss
                    raise
        except BaseException as error:
            over = task is not None and time_limit is not None and self._limits.end(task, time_limit)
            # Cancelled by other code as well, it stays cancelled.
            cut = over and isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()
            if cut or isinstance(error, TimeoutError):
                connections.distrust()
                raise StoreUnavailableError(
                    f"PostgreSQL does not answer: nothing came for {time_limit or 0:g} s",
                    hint="see whether the server runs, is overloaded, or holds a lock on a table of the schema",
                ) from error
            if isinstance(error, DRIVER_ERRORS):
                raise translate_driver_error(error) from error
            raise
        if task is not None and time_limit is not None:
            self._limits.end(task, time_limit)
