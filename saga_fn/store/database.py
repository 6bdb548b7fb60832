"""The connections to one PostgreSQL database, and its time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import final
from uuid import UUID

import asyncpg

from saga_fn.core.ids import Moment
from saga_fn.errors import SchemaMissingError, StoreError
from saga_fn.store._migrations import MIGRATIONS
from saga_fn.store._queries import Queries
from saga_fn.store.connection import Connection, Pool
from saga_fn.store.connections import BorrowedConnections, Connections, OwnConnections
from saga_fn.store.driver_errors import DRIVER_ERRORS, told_apart
from saga_fn.store.hearing import hear
from saga_fn.store.migrate import check_schema, migrate
from saga_fn.store.records import moment_of


@final
class Database:
    """One schema of a database: the typed statements on it, and connections to send them by.

    `work` is for commits and whatever else, `control` for renewals and claims, which never queue behind commits.
    """

    def __init__(
        self, source: str | Pool, *, schema: str, shards: int, pool_size: int, max_connections: int, listen: bool
    ) -> None:
        self.queries: Queries = Queries(schema)
        self.schema: str = schema
        self.shards: int = shards
        self._listen = listen
        if isinstance(source, str):
            dsn = source.replace("postgresql+asyncpg://", "postgresql://", 1)
            self._work: Connections = OwnConnections(dsn, size=max(1, pool_size - 1))
            self._control: Connections = OwnConnections(dsn, size=1)
            self._hearing: Connections = OwnConnections(dsn, size=1)
        else:
            self._work = self._control = BorrowedConnections(source, limit=max_connections)
            self._hearing = BorrowedConnections(source, limit=1)
        self._ahead = time.time() - time.monotonic()
        self._listening: asyncio.Task[None] | None = None

    async def open(self, *, migrate: bool, listen: Callable[[UUID | None], None] | None) -> None:
        """Connect, check or migrate the schema, and begin to listen."""
        async with self.work() as connection:
            await self._prepare(connection, apply=migrate)
        if listen is not None and self._listen:
            self._listening = asyncio.create_task(hear(self.schema, lambda: self._answering(self._hearing), listen))

    async def _prepare(self, connection: Connection, *, apply: bool) -> None:
        if apply:
            await migrate(connection, schema=self.schema, shards=self.shards)
        await check_schema(connection, schema=self.schema, shards=self.shards)

    async def close(self) -> None:
        """Stop listening and close what is ours."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        await self._work.close()
        await self._control.close()

    def now(self) -> Moment:
        """The database's time: its last word, and what this process's monotonic clock says has passed since."""
        return Moment(int((self._ahead + time.monotonic()) * 1_000_000))

    def heard(self, now: datetime) -> Moment:
        """Set the estimate by an answer just received: it was true a moment ago, so the estimate lags and never leads.

        Every way to a saga hears it first: a start keeps its plan, others read or claim. This machine's clock is never used.
        """
        moment = moment_of(now)
        self._ahead = moment / 1_000_000 - time.monotonic()
        return moment

    def work(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one statement."""
        return self._answering(self._work)

    def control(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one statement that must not wait for commits."""
        return self._answering(self._control)

    @asynccontextmanager
    async def within(self, connection: Connection) -> AsyncGenerator[Connection]:
        """A connection of the caller's, with what its transaction and the driver say told apart by what helps."""
        try:
            yield connection
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedColumnError) as error:
            raise SchemaMissingError(
                self.schema,
                found=0,
                needed=MIGRATIONS[-1].number,
                hint="the transaction is aborted; pass a connection to the database that the orchestrator uses",
            ) from error
        except asyncpg.InFailedSQLTransactionError as error:
            raise StoreError(
                "the transaction of the connection given is aborted already: PostgreSQL refuses every statement in it",
                hint="let the error that aborted it pass, so that it is rolled back, and begin another one",
            ) from error
        except asyncpg.InterfaceError as error:
            raise StoreError(
                f"the connection given cannot be used now: {error}",
                hint="pass one that is open, and that no other task uses at the same time",
            ) from error
        except DRIVER_ERRORS as error:
            raise told_apart(error) from error

    @asynccontextmanager
    async def _answering(self, connections: Connections) -> AsyncGenerator[Connection]:
        """A connection, with the driver's exceptions told apart by what helps."""
        try:
            async with connections.connection() as connection:
                try:
                    yield connection
                except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
                    await check_schema(connection, schema=self.schema, shards=self.shards)  # says what is amiss
                    raise
        except DRIVER_ERRORS as error:
            raise told_apart(error) from error
