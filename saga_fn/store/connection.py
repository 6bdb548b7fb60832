"""The little that the store asks of a database driver, as Protocols.

`asyncpg.Connection`, `asyncpg.Pool` and the proxy that a pool hands out satisfy them, with and without
`asyncpg-stubs` installed, so that no public signature has to name an untyped library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, runtime_checkable

from saga_fn.errors import SagaError, StoreRefusedError, shown
from saga_fn.printable import a_type_of


class CallerConnection(Protocol):
    """A connection of the caller's, by which `start` and `send` become part of the transaction that is open on it.

    `asyncpg.Connection`, and the proxy that its pool hands out, are such connections. Another driver's becomes one by a class with
    these methods: [Your transaction](your-transaction.md) has it for psycopg 3. Parameters stand as `$1` in the statements. They
    are None, bool, int, str, bytes, UUID, aware datetime, timedelta, and lists of these. Rows come with the same types.
    An error of the server's needs the attribute `sqlstate`.
    """

    async def execute(self, query: str, /, *args: object) -> str:
        """Run a statement and give its command tag, such as `UPDATE 3`."""
        ...

    # Any, here and below: a driver's record, unpacked by position.
    async def fetch(self, query: str, /, *args: object) -> Sequence[Any]:
        """Run a statement and give its rows; each can be unpacked by position."""
        ...

    async def fetchrow(self, query: str, /, *args: object) -> Any:
        """Run a statement and give its first row, or None."""
        ...

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open on it."""
        ...


class Connection(CallerConnection, Protocol):
    """One connection to PostgreSQL, with asyncpg's verbs."""

    # Any: without asyncpg-stubs `transaction()` gives a class whose methods have no annotations at all.
    def transaction(self) -> AbstractAsyncContextManager[Any, Any]:
        """A transaction that commits when its block ends and rolls back when it raises."""
        ...


@runtime_checkable
class Pool(Protocol):
    """A pool that lends connections."""

    # Any, not Connection: pyright refuses a real `asyncpg.Pool` for the latter when asyncpg-stubs are absent, because
    # asyncpg's own `acquire` has no annotations and what it gives is then inferred as a class of its own.
    def acquire(self) -> AbstractAsyncContextManager[Any, Any]:
        """Borrow a connection for the length of a block."""
        ...


def holdable(connection: CallerConnection, text: str) -> str:
    r"""The text as the database can hold it: of one that is not in UTF-8, what is no ASCII is escaped (`\u4e2d`).

    For texts that user code has chosen while it ran, such as the name of an exception's type: the saga goes on with it.
    """
    if text.isascii():
        return text
    settings: object = getattr(connection, "get_settings", lambda: None)()
    encoding: object = getattr(settings, "server_encoding", None)
    return text if encoding in ("UTF8", "UNICODE") else text.encode("ascii", "backslashreplace").decode("ascii")


_OF_OTHERS: Final = (
    "with SQLAlchemy pass await saga_fn.sqlalchemy.connection_of(session); for psycopg 3 see docs/your-transaction.md"
)


def check_loop(given: object, what: str) -> None:
    """Raise StoreRefusedError for a pool or connection that belongs to another event loop, as far as it tells."""
    loop: object = getattr(given, "_loop", None)
    if isinstance(loop, asyncio.AbstractEventLoop) and loop is not asyncio.get_running_loop():
        raise StoreRefusedError(
            f"the {what} was opened in another event loop than the one that uses it",
            hint=f"open the {what} and use it in one event loop: inside of the same asyncio.run(), or of one for all tests",
        )


def check_notify(notify: object, connection: object) -> None:
    """Raise SagaError for a NOTIFY in no transaction of the caller's: other processes are told without being asked to then."""
    if not isinstance(notify, bool) or (notify and connection is None):
        raise SagaError(
            "notify=True stands beside a connection of yours alone"
            if isinstance(notify, bool)
            else f"notify is True or False, not {shown(notify)}",
            hint="pass connection= with it, or leave it out: without a connection other processes are told anyway",
        )


def check_transaction(connection: object, harm: str) -> None:
    """Raise SagaError for what is no open connection with a transaction open on it; `harm` says what would happen without.

    A statement outside of a transaction would be committed by itself, whatever becomes of what its caller does next.
    """
    fetch, within, closed = (getattr(connection, name, None) for name in ("fetch", "is_in_transaction", "is_closed"))
    if not callable(fetch) or not callable(within):
        raise SagaError(
            f"connection must be an asyncpg connection, not {a_type_of(connection)}",
            hint=f"async with pool.acquire() as connection, connection.transaction(): ...; {_OF_OTHERS}",
        )
    try:
        is_closed, is_within = callable(closed) and closed(), within()
    except Exception as error:  # a pool's connection, after it went back; which class that is only the driver knows
        raise SagaError(
            f"the connection given cannot be used now: {error}", hint="pass one that has not gone back to its pool"
        ) from error
    if is_closed:
        raise SagaError("the connection given is closed", hint="open another one, and a transaction on it")
    if not is_within:
        raise SagaError(
            f"no transaction is open on the connection given: {harm} even if the rest is rolled back",
            hint=f"async with connection.transaction(): ...; {_OF_OTHERS}",
        )
