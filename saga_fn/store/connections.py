"""How the store gets its connections: its own, opened from a DSN, or borrowed from the caller's pool."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, Protocol
from weakref import WeakSet

import asyncpg
from typing_extensions import override

from saga_fn.errors import StoreRefusedError
from saga_fn.store.closing import CLOSING, close, given_up, terminate
from saga_fn.store.connection import CallerConnection, Connection, Pool, check_loop
from saga_fn.store.driver_errors import DRIVER_ERRORS, UnreachedError
from saga_fn.store.dsn import Address, place_of
from saga_fn.tasks import Errands, cut_short, spawn

APPLICATION_NAME = "saga_fn"
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 30_000))
"""A peer that has vanished is noticed within 40 seconds (RFC 1122, 4.2.3.6), and no firewall forgets an idle connection."""


ARRAY_TYPES: Final = ("uuid", "text", "bytea", "timestamptz", "int2", "int4", "int8", "bool", "interval")
"""The elements of the arrays that statements take or give."""
_ARRAYS: Final = "SELECT " + ", ".join(f"NULL::pg_catalog.{name}[]" for name in ARRAY_TYPES)


LEAVE_NOTHING: Final = """\
SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES;
SELECT pg_catalog.pg_advisory_unlock_all();
SELECT FROM pg_catalog.pg_prepared_statement() AS p WHERE p.from_sql"""
"""Takes back all that a step can leave in a session, but what it has prepared by SQL: the last answer counts that."""
NOTHING_PREPARED: Final = "SELECT 0"
_DEALLOCATE: Final = """\
DO LANGUAGE plpgsql $$
DECLARE
    prepared pg_catalog.text;
BEGIN
    FOR prepared IN SELECT p.name FROM pg_catalog.pg_prepared_statements AS p WHERE p.from_sql LOOP
        EXECUTE pg_catalog.format('DEALLOCATE %I', prepared);
    END LOOP;
END
$$"""


class _OwnConnection(asyncpg.Connection):
    """A connection whose `reset` takes back all that a step can leave in a session, but not what the driver has prepared there."""

    __slots__ = ()

    @override
    def get_reset_query(self) -> str:
        """The driver's own leaves the role, what SQL has prepared, temporary tables and the last values of sequences as they are."""
        return f"{LEAVE_NOTHING};\n{_DEALLOCATE}"


class Connections(Protocol):
    """Where a statement's connection comes from. None is held while user code runs."""

    def begin_life(self) -> None:
        """Begin with no connection, in the event loop that runs now: those of another one are out of reach."""
        ...

    async def close(self) -> None:
        """Give back everything."""
        ...

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for one statement; waits when all are in use. One that is cut short in it is not used again."""
        ...

    def distrust(self) -> None:
        """One of the connections did not answer: the others that are idle may be dead as well."""
        ...


class OwnConnections:
    """`size` connections of the store's own, opened when they are first wanted and kept until `close`.

    Not a pool: a pool resets a connection after each use, which costs as much again as the statement itself.
    """

    def __init__(self, address: Address, *, size: int) -> None:
        self._address = address
        self._size = size
        self._idle: list[asyncpg.Connection[asyncpg.Record]] = []
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with no connection, in the event loop that runs now."""
        for connection in self._idle:
            with suppress(RuntimeError):  # its event loop is closed
                connection.terminate()
        self._idle = []
        self._slots = asyncio.Semaphore(self._size)
        self._is_closed = False
        self._farewells = Errands()
        """The last words to connections that no caller waits for any more."""

    async def close(self) -> None:
        """Close what is open; what is in use is closed when it is given back."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            self._farewells.add(close(connection, CLOSING))
        await self._farewells.wait()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """One of the connections; one that broke is replaced by the next that asks."""
        async with self._slots:
            while self._idle and self._idle[-1].is_closed():  # broke while it was not used
                self._idle.pop()
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                yield connection
            except (asyncio.CancelledError, TimeoutError):
                # Beside: the server is asked to give the statement up, and that takes an answer.
                self._farewells.add(close(connection, CLOSING))
                raise
            except asyncpg.ReadOnlySQLTransactionError:
                connection.terminate()  # it stays so for as long as it lives, whatever becomes of the database
                raise
            except asyncpg.PostgresError:
                self._take_back(connection)  # the server has answered, and nothing is outstanding
                raise
            except BaseException:
                # An answer may be outstanding on it: it is not used again.
                connection.terminate()
                raise
            self._take_back(connection)

    def _take_back(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        if connection.is_closed():
            return
        if (
            self._is_closed or connection.is_in_transaction()
        ):  # whatever left it so, its next statement is to be one by itself
            connection.terminate()
        else:
            self._idle.append(connection)

    def distrust(self) -> None:
        """Use no connection again that was opened before."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        connection = await connect(self._address, self._farewells)
        try:
            await learn_types(connection)
        except BaseException:  # cut short in it, as by a stop: no other code knows the connection
            connection.terminate()
            raise
        return connection


async def connect(address: Address, farewells: Errands | None = None) -> asyncpg.Connection[asyncpg.Record]:
    """A new connection. Raises the driver's errors, and StoreRefusedError for a DSN that cannot be used.

    One that is cut short goes on to its end, and the connection is cut then: while `farewells` are waited for, else before this
    ends. The driver leaves a failed future behind where it is cancelled in the middle of it, and asyncio complains of that.
    """
    connecting = spawn(_connected(address))
    try:
        _ = await asyncio.wait((connecting,))
    except asyncio.CancelledError:
        waited_for = Errands() if farewells is None else farewells
        waited_for.add(_cut_when_made(connecting))
        if farewells is None:
            await waited_for.wait()  # cut short once more, it goes on to its end all the same
        raise
    return await connecting


async def _cut_when_made(connecting: asyncio.Task[asyncpg.Connection[asyncpg.Record]]) -> None:
    """Wait for a connection that is not wanted any more, and cut it."""
    await cut_short((connecting,), CLOSING, first=CLOSING)
    if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
        connecting.result().terminate()


async def _connected(address: Address) -> asyncpg.Connection[asyncpg.Record]:
    address.check_certificate()
    settings = {"application_name": APPLICATION_NAME}
    try:
        connection = await asyncpg.connect(
            address.dsn,
            timeout=address.connect_timeout,
            statement_cache_size=address.statement_cache_size,
            server_settings=settings,
            connection_class=_OwnConnection,
        )
    except (ValueError, OverflowError) as error:
        raise StoreRefusedError(  # without the driver's words: they may quote the DSN, and with it the password
            "the DSN cannot be read",
            hint="check the DSN: it looks like postgresql://user:password@host:5432/database",
        ) from error
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        raise UnreachedError("/".join(place_of(address.dsn)), error) from error
    keep_alive(connection)
    return connection


class BorrowedConnections:
    """The caller's pool, of which at most `limit` connections are in use at once, none between statements.

    `judge` is asked of each connection before its first statement; it raises for one that cannot be used.
    """

    def __init__(self, pool: Pool, *, limit: int, judge: Callable[[Connection], Awaitable[None]]) -> None:
        self._pool = pool
        self._judge = judge
        self._learnt: WeakSet[object] = WeakSet()
        self._limit = limit
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with no connection, in the event loop that runs now."""
        self._slots = asyncio.Semaphore(self._limit)
        self._farewells = Errands()
        """The last words to connections that no caller waits for any more."""

    async def close(self) -> None:
        """Wait for what the pool has not taken back yet; the pool itself is the caller's."""
        await self._farewells.wait()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection for one statement."""
        check_loop(self._pool, "pool")
        async with self._slots:
            lent = AsyncExitStack()
            connection = await lent.enter_async_context(self._pool.acquire())
            try:
                raw = getattr(connection, "_con", connection)  # asyncpg's own, which stays when the proxy is gone
                if raw not in self._learnt:
                    await _learn_or_cut(connection)
                    await self._judge(connection)
                    with suppress(TypeError):  # not everything can be remembered without being kept
                        self._learnt.add(raw)
                yield connection
            except (asyncio.CancelledError, TimeoutError):
                self._farewells.add(_give_back(lent, connection))
                raise
            except BaseException as error:
                if isinstance(error, asyncpg.ReadOnlySQLTransactionError | StoreRefusedError):
                    terminate(
                        connection
                    )  # it stays read-only for as long as it lives, whatever becomes of the database
                await lent.aclose()
                raise
            try:
                await lent.aclose()
            except (asyncio.CancelledError, TimeoutError):
                self._farewells.add(_cut_off(connection))  # the pool goes on to reset it, for as long as that takes
                raise

    def distrust(self) -> None:
        """Nothing to do: what else the pool holds is the caller's, and each connection has a time limit of its own."""


async def learn_types(connection: Connection) -> None:
    """Let the driver ask for the array types while no functions and operators of other schemas are in sight.

    The driver asks once a connection, by a query that qualifies few of its names, and it would do so in the middle of a
    statement of ours. The path is set for this transaction only.
    """
    # Without the driver's own block for transactions: cut short, it would wait for an answer to its ROLLBACK.
    await connection.execute("BEGIN; SET LOCAL search_path = pg_catalog")
    await connection.fetch(_ARRAYS)
    await connection.execute("COMMIT")


async def learn_types_within(connection: CallerConnection) -> None:
    """The same in a transaction of the caller's, which is as it was afterwards, with the caller's own path."""
    await connection.execute(f"SAVEPOINT {APPLICATION_NAME}; SET LOCAL search_path = pg_catalog")
    try:
        await connection.fetch(_ARRAYS)
    finally:
        await connection.execute(f"ROLLBACK TO SAVEPOINT {APPLICATION_NAME}; RELEASE SAVEPOINT {APPLICATION_NAME}")


async def _learn_or_cut(connection: Connection) -> None:
    try:
        await learn_types(connection)
    except BaseException:
        terminate(connection)  # it may stand in a transaction
        raise


async def _give_back(lent: AsyncExitStack, connection: object) -> None:
    """Let the pool take a connection back whose statement was cut short; cut it if the pool cannot."""
    try:
        async with asyncio.timeout(CLOSING):
            await given_up(getattr(connection, "_con", connection))
            await lent.aclose()
    except DRIVER_ERRORS:
        terminate(connection)
        with suppress(*DRIVER_ERRORS):
            await lent.aclose()  # nothing, if that has begun


async def _cut_off(connection: object) -> None:
    await asyncio.sleep(CLOSING)
    terminate(connection)


def keep_alive(connection: object) -> None:
    """Have the kernel ask from time to time whether the other end is still there, where the connection is TCP."""
    transport: Any = getattr(connection, "_transport", None)  # Any: asyncpg does not show its transport
    plug = None if transport is None else transport.get_extra_info("socket")
    if plug is None or plug.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if (option := getattr(socket, name, None)) is not None:  # not every system has all of them
                plug.setsockopt(socket.IPPROTO_TCP, option, value)
