"""The ends of connections: cut at once, or closed once the server has given up what runs on them.

A request to cancel comes by a connection of its own. It may overtake the statement that it is meant for, and then does nothing.
The driver asks once. So it is asked again here until the server has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import asyncpg

from saga_fn.backoff import Backoff
from saga_fn.store.driver_errors import DRIVER_ERRORS
from saga_fn.tasks import cut_short, spawn

CLOSING: Final = 1.0
"""Seconds that a connection may take to close, or a pool to take one back, before it is cut."""
_FIRST_AGAIN: Final = 0.05
"""Seconds after which the server is asked again for the first time."""
_LONGEST_AGAIN: Final = 0.5


def terminate(connection: object) -> None:
    """Cut the connection at once."""
    cut = getattr(connection, "terminate", None)
    if callable(cut):
        with suppress(asyncpg.InterfaceError):  # the pool has taken it back meanwhile
            cut()


async def close(connection: Any, time_limit: float) -> None:  # Any: see `Pool.acquire`
    """Have the server give up what runs on it, and close it; cut it after so many seconds."""
    transport: Any = getattr(connection, "_transport", None)  # Any: asyncpg does not show its transport
    try:
        async with asyncio.timeout(
            time_limit
        ):  # the driver's own limit, before its release 0.32, begins with the answer
            await _asking(connection, connection.close())
    except DRIVER_ERRORS:
        terminate(connection)
        if transport is not None:
            transport.abort()  # before 0.32 the driver cuts none that it has begun to close


async def given_up(connection: Any) -> None:  # Any: as above
    """Wait until the server has given up a statement that was cut short, if there is one. The connection can be used then.

    By then no request to cancel is on its way, which would meet the next statement.
    """
    protocol: Any = getattr(connection, "_protocol", None)
    if isinstance(connection, asyncpg.Connection) and protocol is not None and protocol._is_cancelling():  # noqa: SLF001 - the driver's pool asks it
        await _asking(connection, protocol._wait_for_cancellation())  # noqa: SLF001 - the same


async def _asking(connection: Any, answer: Coroutine[object, object, object]) -> None:
    """Wait for the answer, and ask the server again and again to give up what runs on this connection, until it has come."""
    protocol: Any = connection._protocol  # noqa: SLF001 - the connection forgets it when it is closed
    waiting = spawn(answer)
    pauses = Backoff(_FIRST_AGAIN, _LONGEST_AGAIN)
    try:
        while not waiting.done():
            _ = await asyncio.wait((waiting,), timeout=pauses.next())
            if not waiting.done() and protocol._is_cancelling():  # noqa: SLF001 - as below
                asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                connection._cancel_current_command(asked)  # noqa: SLF001 - as the driver's protocol does
                _ = await asyncio.wait((asked,))
                _ = asked.exception()  # if the server is out of reach, the answer does not come either
    finally:
        await cut_short((waiting,), None)
    await waiting
