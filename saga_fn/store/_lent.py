"""The connection as a transactional step has it: until the step returns, and no longer."""

from __future__ import annotations

import re
from typing import Any, Final, final

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from typing_extensions import override

_MAY_COMMIT: Final = re.compile(r"\b(?:commit|end)\b", re.IGNORECASE)
"""Words without which no statement commits: no function can in a transaction that was begun outside of it."""
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
        self.number: str | None = None
        """The number of the transaction, once a statement was sent that may commit it."""
        self.is_unsure = False
        """Whether such a statement was sent, and the number could not be had."""
        self.is_retyped = False
        """Whether the way in which it writes or reads a type was changed."""
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

    async def _before(self, query: object) -> None:
        """Ask for the transaction's number before a statement is sent that may commit it: its answer may be lost."""
        if self.number is not None or self.is_unsure or self._con is None or not isinstance(query, str):
            return
        if _MAY_COMMIT.search(query) is None:
            return
        try:
            number: object = await self._con.fetchval(_NUMBER)
        except asyncpg.InterfaceError:  # the statement itself is refused for the same reason
            return
        except (
            asyncpg.PostgresError
        ):  # the transaction is aborted; by going back to a savepoint it may be committed yet
            number = None
        if isinstance(number, str) and number.isdecimal():
            self.number = number
        else:
            self.is_unsure = True

    @override
    async def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        await self._before(query)
        return await super().execute(query, *args, **options)

    @override
    async def executemany(self, command: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        await self._before(command)
        return await super().executemany(command, *args, **options)

    @override
    async def fetch(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        await self._before(query)
        return await super().fetch(query, *args, **options)

    @override
    async def fetchmany(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        await self._before(query)
        return await super().fetchmany(query, *args, **options)

    @override
    async def fetchval(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        await self._before(query)
        return await super().fetchval(query, *args, **options)

    @override
    async def fetchrow(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        await self._before(query)
        return await super().fetchrow(query, *args, **options)

    @override
    async def prepare(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        await self._before(query)
        return await super().prepare(query, *args, **options)

    @override
    def cursor(self, query: Any, *args: Any, **options: Any) -> Any:
        """As the connection does."""
        if self.number is None and isinstance(query, str) and _MAY_COMMIT.search(query) is not None:
            self.is_unsure = True
        return super().cursor(query, *args, **options)

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
