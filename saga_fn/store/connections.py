"""How the store gets its connections: its own, opened from a DSN, or borrowed from the caller's pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import asyncpg

from saga_fn.errors import StoreUnavailableError
from saga_fn.store.connection import Connection, Pool

APPLICATION_NAME = "saga_fn"


class Connections(Protocol):
    """Where a statement's connection comes from. None is held while user code runs."""

    async def close(self) -> None:
        """Give back everything."""
        ...

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one statement; waits when all are in use."""
        ...


class OwnConnections:
    """`size` connections of the store's own, opened when they are first wanted and kept until `close`.

    Not a pool: a pool resets a connection after each use, which costs as much again as the statement itself.
    """

    def __init__(self, dsn: str, *, size: int) -> None:
        self._dsn = dsn
        self._idle: list[asyncpg.Connection[asyncpg.Record]] = []
        self._slots = asyncio.Semaphore(size)

    async def close(self) -> None:
        """Close what is open."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await _close(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """One of the connections; one that broke is replaced by the next that asks."""
        async with self._slots:
            while self._idle and self._idle[-1].is_closed():  # broke while nobody used it
                self._idle.pop()
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                yield connection
            except BaseException:
                # An answer may be outstanding on it: it is not used again.
                connection.terminate()
                raise
            if connection.is_closed():
                return
            self._idle.append(connection)

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        settings = {"application_name": APPLICATION_NAME}
        try:
            return await asyncpg.connect(self._dsn, timeout=10, server_settings=settings)
        except ValueError as error:
            raise StoreUnavailableError(  # without the driver's words: they may quote the DSN, and with it the password
                "the DSN cannot be read", hint="it looks like postgresql://user:password@host:5432/database"
            ) from error


class BorrowedConnections:
    """The caller's pool, of which at most `limit` connections are in use at once, none between statements."""

    def __init__(self, pool: Pool, *, limit: int) -> None:
        self._pool = pool
        self._slots = asyncio.Semaphore(limit)

    async def close(self) -> None:
        """Nothing to do: the pool is the caller's."""

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection for one statement."""
        async with self._slots, self._pool.acquire() as connection:
            yield connection


async def _close(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    try:
        await connection.close(timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
