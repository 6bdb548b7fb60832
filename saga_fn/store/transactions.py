"""The transactions of transactional steps, on connections of their own: no commit of a saga ever waits for one of these."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import asyncpg

from saga_fn.errors import StoreRefusedError
from saga_fn.store.connection import Connection
from saga_fn.store.connections import APPLICATION_NAME, Connections, OwnConnections, terminate
from saga_fn.store.driver_errors import DRIVER_ERRORS, translate_driver_error
from saga_fn.store.errors import AnswerLostError, CommitRefusedError, StatementFailedError, TransactionEndedError
from saga_fn.store.records import Committed, SagaWrite

if TYPE_CHECKING:
    from asyncpg.transaction import Transaction

Write: TypeAlias = Callable[[Connection, SagaWrite], Awaitable[Committed]]
_MARK: Final = "saga_fn.step"
_LONGEST_NAME: Final = 40
_SLACK: Final = 5_000
"""Milliseconds by which the server's limits are behind the step's own."""
_LONGEST: Final = 24 * 60 * 60 * 1000
"""Milliseconds: a limit for steps that have none."""
_BEGUN: Final = f"""\
SELECT pg_catalog.set_config('statement_timeout', $1, true), \
pg_catalog.set_config('idle_in_transaction_session_timeout', $1, true), \
pg_catalog.set_config('application_name', $2, true), pg_catalog.set_config('{_MARK}', $2, true)"""
_STANDS: Final = f"SELECT pg_catalog.current_setting('{_MARK}', true)"


@asynccontextmanager
async def in_step(connection: Connection, time_limit: float) -> AsyncGenerator[Connection]:
    """A step's connection, for one statement of ours in its transaction, with the driver's exceptions told apart by what helps."""
    try:
        async with asyncio.timeout(time_limit):
            yield connection
    except asyncpg.InFailedSQLTransactionError as error:
        raise StatementFailedError(
            "the step's transaction is aborted: a statement failed in it, and the step went on",
            hint="let that error pass, or put what may fail into `async with ctx.connection.transaction()`",
        ) from error
    except DRIVER_ERRORS as error:
        raise translate_driver_error(error) from error


@final
class PostgresTransaction:
    """One open transaction. It is rolled back unless it is committed."""

    def __init__(self, connection: Any, write: Write, name: str, time_limit: float) -> None:  # Any: see `Pool.acquire`
        self.connection: Any = connection
        self._write = write
        self._name = name
        self._time_limit = time_limit
        self._transaction: Transaction | None = None

    async def begin(self, isolation: str, limit: str) -> None:
        """Begin it; nothing in it takes longer than this, in milliseconds, and nothing is left idle for longer."""
        async with asyncio.timeout(self._time_limit):
            transaction = self.connection.transaction(isolation=isolation)
            await transaction.start()
            await self.connection.fetchrow(_BEGUN, limit, self._name)
        self._transaction = transaction

    @property
    def is_broken(self) -> bool:
        """Whether its connection is gone."""
        return bool(self.connection.is_closed())

    async def check(self) -> None:
        """Raise TransactionEndedError if it is not the one that was begun: the step has ended that.

        The server tells each change of the application's name by itself, so that it is asked only if that is another one.
        """
        if self.is_broken:
            return  # the next statement says so
        if self.connection.is_in_transaction():
            if self.connection.get_settings().application_name == self._name:
                return
            async with in_step(self.connection, self._time_limit):
                mark: object = await self.connection.fetchval(_STANDS)
            if mark == self._name:
                return
        raise TransactionEndedError(
            "the step has ended its own transaction",
            hint="leave COMMIT and ROLLBACK to the library; `async with ctx.connection.transaction()` is a savepoint",
        )

    async def write(self, write: SagaWrite) -> Committed:
        """Write the saga's next state in it, as its last statement."""
        async with in_step(self.connection, self._time_limit):
            return await self._write(self.connection, write)

    async def commit(self) -> None:
        """Commit it. Raises CommitRefusedError if the server has refused, and so has rolled it back.

        Raises AnswerLostError if it may or may not be committed.
        """
        transaction, self._transaction = self._transaction, None
        assert transaction is not None, "it was begun, and is committed once"
        try:
            async with asyncio.timeout(self._time_limit):
                await transaction.commit()
        except asyncpg.PostgresError as error:
            if _severity(error) == "ERROR":
                raise CommitRefusedError(translate_driver_error(error).fact, error) from error
            terminate(self.connection)
            raise AnswerLostError("the answer to COMMIT was lost") from error
        except DRIVER_ERRORS as error:
            terminate(self.connection)
            raise AnswerLostError("the answer to COMMIT was lost") from error

    async def end(self) -> None:
        """Roll it back, unless it was committed."""
        transaction, self._transaction = self._transaction, None
        if transaction is None or self.is_broken:
            return
        try:
            async with asyncio.timeout(self._time_limit):
                await transaction.rollback()
        except DRIVER_ERRORS:  # the step has left something running on it, or the server is gone
            terminate(self.connection)


@final
class PostgresTransactions:
    """The transactions of one store's steps. No more are open at once than there are `connections`; the others wait their turn.

    `write` sends a saga's next state on a connection. There is `room` for so many connections of a caller's pool, beside those that
    must never wait.
    """

    def __init__(self, connections: Connections, write: Write, *, room: int, time_limit: float) -> None:
        self._connections = connections
        self._write = write
        self._room = room
        self._time_limit = time_limit
        self.lock_timeout: int = max(1, int(time_limit * 800))
        """Milliseconds that the commit of one waits for the saga's row."""

    def check_room(self) -> None:
        """Raise StoreRefusedError if the pool has no connection for a step beside the one that commits sagas."""
        if self._room < 1:
            raise StoreRefusedError(
                "the pool has no connection for its transaction beside those that commit sagas and listen",
                hint=f"make the pool with max_size={1 - self._room} more, or give a DSN",
            )

    @asynccontextmanager
    async def open(self, *, isolation: str, seconds: float | None, name: str) -> AsyncGenerator[PostgresTransaction]:
        """A transaction, once there is a connection for it. The server shows `name`; its step may take so many seconds."""
        limit = _LONGEST if seconds is None else min(int(seconds * 1000) + _SLACK, _LONGEST)
        begun = False
        try:
            async with self._connections.connection() as connection:
                shown = f"{APPLICATION_NAME} {name[:_LONGEST_NAME]}"
                opened = PostgresTransaction(connection, self._write, shown, self._time_limit)
                await opened.begin(isolation, str(limit))
                begun = True
                yield opened
                await opened.end()
                await self._cleaned(connection)
        except DRIVER_ERRORS as error:
            if begun:
                raise
            raise translate_driver_error(error) from error

    async def _cleaned(self, connection: Connection) -> None:
        """Leave no setting, lock or cursor of this step's to the next one; a caller's pool does so by itself."""
        if not isinstance(self._connections, OwnConnections) or not isinstance(connection, asyncpg.Connection):
            return
        if connection.is_closed():
            return
        try:
            await connection.reset(timeout=self._time_limit)
        except DRIVER_ERRORS:
            connection.terminate()


def _severity(error: asyncpg.PostgresError) -> str:
    """ERROR, or what ends the session: FATAL or PANIC. In the server's language only where it does not say it in English."""
    said: object = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return str(said)
