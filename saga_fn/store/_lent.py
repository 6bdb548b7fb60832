"""The connection as a transactional step has it: until the step returns, and no longer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from functools import partial
from typing import Any, Final, final

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from typing_extensions import override

_MAY_COMMIT: Final = re.compile(r"\b(?:commit|end|prepare)\b", re.IGNORECASE)
"""Words without which no statement commits or prepares: no function can in a transaction that was begun outside of it."""
_MAY_ROLL_BACK: Final = re.compile(
    r"(?:^|;|\*/|--[^\n\r]*[\n\r])\s*(?:abort|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b))\b", re.IGNORECASE
)
"""A command that rolls the transaction back, not to a savepoint: at the begin of a statement, or behind another one or a remark."""
_FORGOTTEN: Final = "DEALLOCATE ALL"
"""As the server tells that it has done so."""
_NUMBER: Final = "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text"


@final
class LentConnection(PoolConnectionProxy):
    """A connection of asyncpg's, with all its methods. They raise InterfaceError once the step has returned.

    It is the driver's own proxy, without the pool: isinstance says that it is a connection, and the stubs know its methods.
    """

    def __init__(self, connection: Any) -> None:  # Any: a connection, or what a pool hands out for one
        # Not the proxy's own: that would make itself known to the connection, which then asks its pool.
        self._con: Any = connection
        self._holder: Any = None
        # The connection forgets it when it is closed.
        self._raw: Any = getattr(connection, "_con", connection)
        self._protocol: Any = self._raw._protocol  # noqa: SLF001 - the driver has no name for it
        self.number: str | None = None
        """The number of the transaction, once a statement was to be sent that may end it; None, too, if it could not be had."""
        self.is_in_doubt = False
        """Whether such a statement was sent, and has not been answered."""
        self.may_have_rolled_back = False
        """Whether a statement was sent that may roll the transaction back, or one that was in none."""
        self._task: asyncio.Task[object] | None = asyncio.current_task()
        """The step's own."""
        self.is_retyped = False
        """Whether the way in which it writes or reads a type was changed."""
        self.cut_by: BaseException | None = None
        """The exception by which a statement was last cut short, if one was."""
        self.is_forgetful = False
        """Whether the server has forgotten what the driver has prepared in the session."""
        self.is_watched = False
        """Whether a callback was added: the driver gives it the connection itself, or each later statement on that."""

    def leave(self) -> None:
        """Let nothing more through."""
        self._con = None

    @staticmethod
    def outdate(connection: Any) -> None:  # Any: what asyncpg keeps in it has no types
        """Let no savepoint, cursor or prepared statement of this connection be used any more.

        A block that a task of the step's has left open would take the saga's own write back with its savepoint.
        """
        connection._pool_release_ctr += 1  # noqa: SLF001 - the driver's pool does so too, and has no name for it

    def _may_end(self, query: object) -> bool:
        """Whether this statement may end the transaction, one way or the other."""
        if self._con is None or not isinstance(query, str):
            return False
        may_roll_back = _MAY_ROLL_BACK.search(query) is not None
        if may_roll_back or not self._protocol.is_in_transaction():
            self.may_have_rolled_back = True
        return may_roll_back or _MAY_COMMIT.search(query) is not None

    async def _learn_number(self, time_limit: float | None) -> None:
        """Ask for the transaction's number, before a statement is sent that may end it: its answer may be lost.

        Raises what breaks the connection, or TimeoutError after so many seconds: that statement is not sent then.
        """
        if self.number is not None:
            return
        try:
            number: object = await self._con.fetchval(_NUMBER, timeout=time_limit)
        except asyncpg.PostgresError as error:
            if not is_answered(error):
                raise
            return  # the transaction is aborted; by going back to a savepoint it may be committed yet
        if isinstance(number, str) and number.isdecimal():
            self.number = number

    async def _sent(
        self,
        query: object,
        send: Callable[..., Awaitable[Any]],
        *args: Any,
        timeout: float | None = None,
        **options: Any,
    ) -> Any:  # Any: as the connection's methods
        """The answer to this statement."""
        may_end, before = self._may_end(query), self.is_in_doubt
        try:
            if may_end:
                await self._learn_number(timeout)
                self.is_in_doubt = True
            answer = await send(query, *args, timeout=timeout, **options)
        except asyncpg.PostgresError as error:
            self.is_in_doubt = before or (self.is_in_doubt and not is_answered(error))
            raise
        except TimeoutError as error:
            self.cut_by = error
            raise
        except asyncio.CancelledError as error:
            if (
                asyncio.current_task() is self._task
            ):  # a task beside it may call another system, which the limit cuts short too
                self.cut_by = error
            raise
        self.is_in_doubt = before
        return answer

    async def _kept(self, time_limit: float | None) -> None:
        """A statement that may end the transaction is kept for later: when it is sent, no code hears of it here."""
        await self._learn_number(time_limit)
        self.is_in_doubt = True

    @override
    async def reset(self, *args: Any, **options: Any) -> Any:
        """As the connection does. It rolls the transaction back first."""
        self.may_have_rolled_back = True
        return await super().reset(*args, **options)

    @override
    async def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        answer = await self._sent(query, super().execute, *args, **options)
        if answer == _FORGOTTEN:
            self.is_forgetful = True
            self._raw._drop_local_statement_cache()  # noqa: SLF001 - the driver has no name for it
        return answer

    @override
    async def executemany(self, command: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        return await self._sent(command, super().executemany, *args, **options)

    @override
    async def fetch(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        return await self._sent(query, super().fetch, *args, **options)

    @override
    async def fetchmany(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        return await self._sent(query, super().fetchmany, *args, **options)

    @override
    async def fetchval(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        return await self._sent(query, super().fetchval, *args, **options)

    @override
    async def fetchrow(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        return await self._sent(query, super().fetchrow, *args, **options)

    @override
    async def prepare(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        if self._may_end(query):
            await self._kept(options.get("timeout"))
        return await super().prepare(query, *args, **options)

    @override
    def cursor(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        cursor = super().cursor(query, *args, **options)
        return _Cursor(partial(self._kept, options.get("timeout")), cursor) if self._may_end(query) else cursor

    @override
    async def set_type_codec(self, *args: Any, **options: Any) -> None:
        """As the connection does."""
        self.is_retyped = True
        await super().set_type_codec(*args, **options)

    @override
    async def set_builtin_type_codec(self, *args: Any, **options: Any) -> None:
        """As the connection does."""
        self.is_retyped = True
        await super().set_builtin_type_codec(*args, **options)

    @override
    async def reset_type_codec(self, *args: Any, **options: Any) -> None:
        """As the connection does."""
        self.is_retyped = True
        await super().reset_type_codec(*args, **options)

    @override
    async def add_listener(self, *args: Any, **options: Any) -> None:
        """As the connection does."""
        self.is_watched = True
        await super().add_listener(*args, **options)

    @override
    def add_log_listener(self, *args: Any, **options: Any) -> None:
        """As the connection does."""
        self.is_watched = True
        super().add_log_listener(*args, **options)

    @override
    def add_termination_listener(self, *args: Any, **options: Any) -> None:
        """As the connection does."""
        self.is_watched = True
        super().add_termination_listener(*args, **options)

    @override
    def add_query_logger(self, *args: Any, **options: Any) -> None:
        """As the connection does."""
        self.is_watched = True
        super().add_query_logger(*args, **options)


@final
class _Cursor:
    """A cursor whose statement may end the transaction: it is sent once the cursor is used, and so is what goes before it."""

    def __init__(self, before: Callable[[], Awaitable[None]], cursor: Any) -> None:  # Any: the driver's, without types
        self._before = before
        self._cursor = cursor

    def __await__(self) -> Generator[Any, Any, Any]:  # Any: as above
        return self._opened().__await__()

    async def _opened(self) -> Any:  # Any: as above
        await self._before()
        return await self._cursor

    async def __aiter__(self) -> AsyncIterator[Any]:  # Any: as above
        await self._before()
        async for row in self._cursor:
            yield row


def is_answered(error: asyncpg.PostgresError) -> bool:
    """Whether the server has answered by this error, and the session goes on: FATAL and PANIC end it.

    The level is in the server's language only where it does not say it in English.
    """
    said: object = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return str(said) == "ERROR"
