"""Hearing of due sagas by LISTEN. It only ever shortens a wait: nothing depends on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, final
from uuid import UUID

from saga_fn.backoff import Backoff
from saga_fn.core.ids import LONG_AGO, Moment
from saga_fn.errors import StoreError, StoreRefusedError
from saga_fn.store.connection import Connection
from saga_fn.store.driver_errors import DRIVER_ERRORS
from saga_fn.store.ids import new_uuid
from saga_fn.store.records import Hint

_log = logging.getLogger("saga_fn")
_ECHO: Final = "echo "
_ECHO_LIMIT: Final = 2.0
"""Seconds in which a listener has to hear what it has called out itself."""
_LOOK_EVERY: Final = 0.5
"""Seconds between two looks whether the pool is closing."""
_DEAF_PAUSE: Final = 30.0
"""Seconds after which a listener that heard nothing tries again."""
_MOST_DIGITS: Final = 17
"""The digits of a moment, at most: those of the year 5138."""


@final
class Listener:
    """Keeps one connection that listens on a channel; when it breaks, it takes another.

    Whether it hears at all is tried: it calls out to itself, by another connection. A pooler in transaction mode takes a LISTEN
    and passes nothing on. Then the connection is let go of, and `deaf` says so.
    """

    def __init__(
        self,
        channel: str,
        *,
        connect: Callable[[], AbstractAsyncContextManager[Connection]],
        call: Callable[[str], Awaitable[None]],
        told: Callable[[Hint], None],
        is_closing: Callable[[], bool],
    ) -> None:
        """Make one.

        Args:
            channel: The channel's name.
            connect: Gives the connection to listen by, for as long as it is wanted.
            call: Sends a payload on the channel by another connection.
            told: Called at each hint, with the saga that it names, or the moment since when something may be due.
            is_closing: Whether the connection is wanted back.
        """
        self._channel = channel
        self._connect = connect
        self._call = call
        self._told = told
        self._is_closing = is_closing
        self.deaf: str | None = None
        """Why this process hears of nothing, if that is so."""

    async def listen(self) -> None:
        """Listen until this is cancelled."""
        backoff = Backoff(0.1, 5.0)
        while True:
            try:
                heard = await self._listen_once()
            except StoreRefusedError as error:
                self._note(f"LISTEN is refused: {error.fact}")
                heard = False
            except StoreError:
                heard = None
            if heard:
                backoff.reset()
            await backoff.pause(least=_DEAF_PAUSE if heard is False else 0.0)

    async def _listen_once(self) -> bool | None:
        """Listen for as long as the connection lasts; False if nothing is heard by it, None if it ended before that was known."""
        gone, echoed = asyncio.Event(), asyncio.Event()
        own = f"{_ECHO}{new_uuid().hex}"

        def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            text = str(payload)
            if text == own:
                echoed.set()
            elif not text.startswith(_ECHO):
                self._told(_read(text))

        def ended(_connection: object) -> None:
            gone.set()
            echoed.set()  # nothing is to be waited for any more

        async with self._connect() as connection, _listening(connection, self._channel, heard, ended):
            self._told(LONG_AGO)  # of what it has not heard before
            await self._call(own)
            if not await self._hears(echoed):
                return False
            if gone.is_set():
                return None
            self.deaf = None
            while not gone.is_set() and not self._is_closing():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY):
                        await gone.wait()
        return True

    async def _hears(self, echoed: asyncio.Event) -> bool:
        try:
            async with asyncio.timeout(_ECHO_LIMIT):
                await echoed.wait()
        except TimeoutError:
            self._note("NOTIFY does not come through, as behind a pooler in transaction mode")
            return False
        return True

    def _note(self, why: str) -> None:
        if self.deaf is None:
            _log.warning(
                "this process hears of nothing and finds sagas by looking only: %s. HINT: listen_dsn= names a way around the "
                "pooler, listen=False does without",
                why,
            )
        self.deaf = why


@asynccontextmanager
async def _listening(
    connection: Any,  # Any: only the driver's connections listen, whatever wraps them
    channel: str,
    heard: Callable[[object, int, str, object], None],
    ended: Callable[[object], None],
) -> AsyncGenerator[None]:
    await connection.add_listener(channel, heard)
    connection.add_termination_listener(ended)
    try:
        yield
    finally:
        if not connection.is_closed():  # a pool wants it back as it was
            connection.remove_termination_listener(ended)
            with contextlib.suppress(*DRIVER_ERRORS):
                async with asyncio.timeout(1):
                    await connection.remove_listener(channel, heard)


def _read(payload: str) -> Hint:
    """The hint of a notification; any session may notify, so anything may come, and then something may be due for long."""
    if payload.isascii() and payload.isdecimal() and len(payload) <= _MOST_DIGITS:
        return Moment(int(payload))
    try:
        return UUID(payload)
    except ValueError:
        return LONG_AGO
