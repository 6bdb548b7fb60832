"""The connection as a transactional step has it: until the step returns, and no longer."""

from __future__ import annotations

from typing import Any, final

from asyncpg.pool import PoolConnectionProxy
from typing_extensions import override


@final
class LentConnection(PoolConnectionProxy):
    """A connection of asyncpg's, with all its methods. They raise InterfaceError once the step has returned.

    It is the driver's own proxy, without the pool: isinstance says that it is a connection, and the stubs know its methods.
    """

    def __init__(self, connection: Any) -> None:  # Any: a connection, or what a pool hands out for one
        # Not the proxy's own: that would make itself known to the connection, which then asks its pool.
        self._con: Any = connection
        self._holder: Any = None
        self.is_retyped = False
        """Whether the way in which it writes or reads a type was changed."""
        self.is_watched = False
        """Whether a callback was added: the driver gives it the connection itself, or each later statement on that."""

    def leave(self) -> None:
        """Let nothing more through."""
        self._con = None

    @staticmethod
    def outdate(transaction: Any) -> None:  # Any: what asyncpg keeps in it has no types
        """Let no savepoint, cursor or prepared statement of this connection be used any more, but this transaction.

        A block that a task of the step's has left open would take the saga's own write back with its savepoint.
        """
        connection = transaction._connection  # noqa: SLF001 - the driver's pool does so too, and has no name for it
        connection._pool_release_ctr += 1  # noqa: SLF001 - as above
        transaction._con_release_ctr = connection._pool_release_ctr  # noqa: SLF001 - as above

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
