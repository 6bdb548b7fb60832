"""The transaction of one transactional step: begun, judged, written in, committed or rolled back on its own connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import asyncpg

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.errors import StoreError, StoreUnavailableError
from saga_fn.store._lent import LentConnection, is_answered
from saga_fn.store.closing import close, given_up, terminate
from saga_fn.store.connection import Connection
from saga_fn.store.connections import (
    LEAVE_NOTHING,
    NOTHING_PREPARED,
)
from saga_fn.store.driver_errors import DRIVER_ERRORS, translate_driver_error
from saga_fn.store.errors import (
    AnswerLostError,
    CommitRefusedError,
    StatementFailedError,
    StoreBusyError,
    TransactionEndedError,
    is_an_answer,
)
from saga_fn.store.records import Committed, SagaWrite

if TYPE_CHECKING:
    from asyncpg.transaction import Transaction


Write: TypeAlias = Callable[[Connection, SagaWrite], Awaitable[Committed]]
Judge: TypeAlias = Callable[[Connection], Awaitable[None]]
Work: TypeAlias = Callable[[], AbstractAsyncContextManager[Connection]]
_MARK: Final = "saga_fn.step"
_COMMITTED: Final = "saga_fn: committed by the step"
"""The application's name in the session once the transaction is committed. No step's name begins like it."""
_LIMITS_TRANSACTIONS: Final = 17
"""The first PostgreSQL that ends a transaction by its age: before, each statement and each pause have the whole time."""
_STANDS: Final = f"SELECT pg_catalog.current_setting('{_MARK}', true)"
_NOTICES_CUTS: Final = """\
SELECT pg_catalog.set_config(s.name, CASE
    WHEN s.setting OPERATOR(pg_catalog.=) '0' AND pg_catalog.version() OPERATOR(pg_catalog.~) 'linux|darwin|bsd' THEN '1s'
    ELSE s.setting
END, true)
FROM (
    SELECT 'client_connection_check_interval' AS name, pg_catalog.current_setting('client_connection_check_interval') AS setting
) AS s"""
"""Has the server look every second whether the client is still there while it runs a statement, unless the server is set to do so.

Else it goes on with the statement of a process that was killed, and keeps its locks. Windows has no such look, and refuses it.
"""
_CAME_TO: Final = """\
WITH asked AS (SELECT $1::pg_catalog.text::pg_catalog.xid8 AS number)
SELECT CASE
    WHEN asked.number OPERATOR(pg_catalog.<) pg_catalog.pg_current_xact_id() THEN pg_catalog.pg_xact_status(asked.number)
    ELSE 'aborted'
END AS came_to
FROM asked"""
"""A server that has lost its last transactions in a crash does not know the number. A standby refuses to tell a new one."""


@asynccontextmanager
async def in_step(connection: Any, time_limit: float) -> AsyncGenerator[Connection]:
    """A step's connection, for one statement of ours in its transaction, with the driver's exceptions told apart by what helps."""
    try:
        async with asyncio.timeout(time_limit):
            await given_up(connection)
            yield connection
    except TimeoutError as error:
        terminate(connection)  # it would not answer a ROLLBACK either
        raise translate_driver_error(error) from error
    except asyncpg.InFailedSQLTransactionError as error:
        raise StatementFailedError(
            "the step's transaction is aborted: a statement failed in it, and the step went on",
            hint="let that error pass, or put what may fail into `async with ctx.connection.transaction()`",
        ) from error
    except asyncpg.InvalidSQLStatementNameError as error:
        terminate(connection)
        raise StoreBusyError("the server has forgotten what was prepared in the step's session") from error
    except asyncpg.InterfaceError as error:
        if connection.is_closed():
            raise translate_driver_error(error) from error
        raise StatementFailedError(
            "the step has returned, and left a statement running on its connection",
            hint="await every statement before the step returns; one connection runs one at a time",
        ) from error
    except DRIVER_ERRORS as error:
        raise translate_driver_error(error) from error


@final
class PostgresTransaction:
    """One open transaction. It is rolled back unless it is committed."""

    def __init__(
        self,
        connection: Any,  # Any: see `Pool.acquire`
        write: Write,
        judge: Judge,
        work: Work,
        name: str,
        time_limit: float,
        *,
        is_ours: bool,
    ) -> None:
        self._lent: LentConnection = LentConnection(connection)
        # Not what a pool hands out: that is out of use as soon as the connection breaks.
        self._own: Any = getattr(connection, "_con", connection)
        # The connection forgets it when it is closed. It alone knows what the server has told last.
        self._protocol: Any = self._own._protocol  # noqa: SLF001 - the driver has no name for it
        self._write = write
        self._judge = judge
        self._work = work
        self._name = name
        self._time_limit = time_limit
        self._is_ours = is_ours
        self._transaction: Transaction | None = None
        self._named_before: str = self._told
        self.is_clean: bool = False
        """Whether nothing is left of it in its session."""

    @property
    def connection(self) -> Connection:
        """The step's way to the connection, until `leave`."""
        return self._lent

    @property
    def _told(self) -> str:
        """The application's name, of which the server tells each change by itself; if the connection is gone, as it was last told."""
        return str(self._protocol.get_settings().application_name)

    async def begin(self, isolation: str, limit: str) -> None:
        """Begin it; nothing in it takes longer than this, in milliseconds, and nothing is left idle for longer.

        The application's name tells from then on whose transaction is open. It is the step's in this one, `_COMMITTED` after it is
        committed, and as before if it is rolled back.
        """
        name = _quoted(self._name)
        settings = {
            "statement_timeout": limit,
            "idle_in_transaction_session_timeout": limit,
            "application_name": name,
            _MARK: name,
        }
        if self._own.get_server_version().major >= _LIMITS_TRANSACTIONS:
            settings["transaction_timeout"] = limit
        begin = f"BEGIN ISOLATION LEVEL {isolation.replace('_', ' ').upper()}"
        async with asyncio.timeout(self._time_limit):
            # By its last word the snapshot is taken: from then on the server lets no statement change the isolation.
            sets = [f"SET LOCAL {each} = {to}" for each, to in settings.items()]
            committed = f"SET application_name = '{_COMMITTED}'"
            await self._own.execute("; ".join([begin, committed, *sets, _NOTICES_CUTS]))
        # The driver's own way to begin it is one more way to the server. It takes a block of the step's for a savepoint by this.
        self._transaction = self._own._top_xact = self._own.transaction(isolation=isolation)  # noqa: SLF001 - see above

    def leave(self) -> None:
        """Take the connection from the step, which has returned, and from the tasks and blocks that it has left behind.

        A statement of theirs would come into the next step's transaction, or be committed by itself.
        """
        self._lent.leave()
        LentConnection.outdate(self._own)

    @property
    def is_retyped(self) -> bool:
        """Whether the step has changed how its connection writes and reads values."""
        return self._lent.is_retyped

    @property
    def is_spent(self) -> bool:
        """Whether no other step may have its connection: nothing takes back what this one has changed in the driver."""
        return self._lent.is_retyped or self._lent.is_watched or self._lent.is_forgetful

    @property
    def is_broken(self) -> bool:
        """Whether its connection is gone."""
        return bool(self._own.is_closed())

    def is_outdated(self, error: BaseException) -> bool:
        """Whether the driver knew a table or type as it was once, or a statement that the server has forgotten.

        It has forgotten the former by now. For the latter no other step has the connection.
        """
        if isinstance(error, asyncpg.InvalidSQLStatementNameError):
            self._lent.is_forgetful = True
        return isinstance(
            error,
            asyncpg.InvalidCachedStatementError
            | asyncpg.OutdatedSchemaCacheError
            | asyncpg.InvalidSQLStatementNameError,
        )

    def was_cut(self, error: BaseException) -> bool:
        """Whether a statement of the step was cut short by this error: by a time limit of its own, as of a pool's."""
        return error is self._lent.cut_by

    async def has_ended(self) -> bool:
        """Whether the step has ended it by itself, or may have. The server is asked only if what it has told leaves that open."""
        if not self._protocol.is_in_transaction():
            return True
        if self._told == self._name and not (self._lent.is_in_doubt or self.is_broken):
            return False
        if not self.is_broken:
            try:
                async with in_step(self._own, self._time_limit):
                    mark: object = await self._own.fetchval(_STANDS)
            except StoreError:
                pass  # it is aborted, or the connection has just broken
            else:
                return mark != self._name
        if self._told == _COMMITTED or self._lent.may_have_rolled_back:
            return True
        if self.is_broken:
            return await self._may_stand()
        # Settings that were made in an aborted transaction are taken back. By a savepoint that has failed the step's own name may
        # still be told.
        return self._told not in (self._name, self._named_before)

    async def _may_stand(self) -> bool:
        """Whether it is committed, or may be, though its connection is gone.

        Until the server sees that the connection is gone, the transaction is in progress; so it is while it is prepared. If it stays
        so, it counts as committed where a statement that commits has no answer. While no server can be asked, nothing is known.
        """
        number = self._lent.number
        if number is None:
            return self._lent.is_in_doubt
        backoff, give_up = Backoff(0.01, 0.25), float("inf")
        while steady.now() < give_up:
            try:
                async with self._work() as connection:
                    found = await connection.fetchrow(_CAME_TO, number)
                came_to = None if found is None else found["came_to"]
                if came_to in ("committed", "aborted"):
                    return bool(came_to == "committed")
                is_told = True
            except StoreError as error:  # it may be back in time
                is_told = is_an_answer(error)
            if is_told:
                give_up = min(give_up, steady.now() + self._time_limit)
            await backoff.pause()
        return self._lent.is_in_doubt

    async def check(self) -> None:
        """Raise TransactionEndedError if it is not the one that was begun: the step has ended that.

        Raises StatementFailedError if the saga's state cannot be written on the connection as the step has left it.
        """
        if await self.has_ended():
            raise TransactionEndedError
        if self.is_retyped:
            try:
                async with in_step(self._own, self._time_limit):
                    await self._judge(self._own)
            except StoreUnavailableError:
                raise
            except StoreError as error:
                hint = "set no codec for a type that the library writes: uuid, bytea, text, the integers, boolean, the times"
                raise StatementFailedError(error.fact, hint=hint) from error

    async def write(self, write: SagaWrite) -> Committed:
        """Write the saga's next state in it, as its last statement."""
        async with in_step(self._own, self._time_limit):
            return await self._write(self._own, write)

    async def commit(self) -> None:
        """Commit it. Raises CommitRefusedError if the server has refused that, or what goes with it.

        Raises AnswerLostError if it may or may not be committed.
        """
        assert self._transaction is not None, "it was begun, and is committed once"
        try:
            async with asyncio.timeout(self._time_limit):
                await self._over("COMMIT")
        except asyncpg.PostgresError as error:
            if is_answered(error):
                raise CommitRefusedError(translate_driver_error(error).fact, error) from error
            terminate(self._own)
            raise AnswerLostError("the answer to COMMIT was lost") from error
        except DRIVER_ERRORS as error:
            terminate(self._own)
            raise AnswerLostError("the answer to COMMIT was lost") from error

    async def end(self) -> None:
        """Roll it back, unless it was committed."""
        if self._transaction is None or self.is_broken:
            return
        try:
            async with asyncio.timeout(self._time_limit):
                await given_up(self._own)
                await self._over("ROLLBACK")
        except DRIVER_ERRORS:  # the step has left something running on it, or the server is gone
            # The server would go on with what runs, and keep its locks until it is done.
            await close(self._own, self._time_limit)

    async def _over(self, end: str) -> None:
        """End it, and on a connection of ours take back by the same way to the server what the step has changed in its session.

        If the latter fails, it is ended all the same.
        """
        self._transaction = self._own._top_xact = None  # noqa: SLF001 - as when it was begun
        if self._is_ours:
            self.is_clean = await self._own.execute(f"{end}; {LEAVE_NOTHING}") == NOTHING_PREPARED
        else:
            await self._own.execute(f"{end}; SET application_name = {_quoted(self._named_before)}")


def _quoted(text: str) -> str:
    """As a literal, whether or not a backslash stands for itself in the session."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
