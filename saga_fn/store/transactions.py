"""The transactions of transactional steps, on connections of their own: no commit of a saga ever waits for one of these."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, final

import asyncpg

from saga_fn.errors import StoreRefusedError
from saga_fn.store.closing import terminate
from saga_fn.store.connection import Connection
from saga_fn.store.connections import (
    APPLICATION_NAME,
    Connections,
    OwnConnections,
)
from saga_fn.store.driver_errors import DRIVER_ERRORS, translate_driver_error
from saga_fn.store.step_transaction import Judge, PostgresTransaction, Work, Write

_LONGEST_NAME: Final = 40
_SLACK: Final = 5_000
"""Milliseconds by which the server's limits are behind the step's own."""
_LONGEST: Final = 24 * 60 * 60 * 1000
"""Milliseconds: a limit for steps that have none."""


@final
class PostgresTransactions:
    """The transactions of one store's steps. No more are open at once than there are `connections`; the others wait their turn.

    `write` sends a saga's next state on a connection; `judge` raises for one that cannot send it. `work` gives another connection,
    for a look at what became of a transaction. There is `room` for so many connections of a caller's pool, beside those that must
    never wait.
    """

    def __init__(
        self, connections: Connections, write: Write, judge: Judge, work: Work, *, room: int, time_limit: float
    ) -> None:
        self._connections = connections
        self._write = write
        self._judge = judge
        self._work = work
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
                opened = PostgresTransaction(
                    connection,
                    self._write,
                    self._judge,
                    self._work,
                    shown,
                    self._time_limit,
                    is_ours=isinstance(self._connections, OwnConnections),
                )
                await opened.begin(isolation, str(limit))
                begun = True
                try:
                    yield opened
                finally:
                    opened.leave()
                    if opened.is_spent:
                        terminate(connection)
                await opened.end()
                if not opened.is_clean:
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
