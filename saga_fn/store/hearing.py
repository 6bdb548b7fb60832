"""Hearing of due sagas by LISTEN. It only ever shortens a wait: nothing depends on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

from saga_fn.errors import StoreError
from saga_fn.store.connection import Connection
from saga_fn.store.driver_errors import DRIVER_ERRORS


async def hear(
    channel: str,
    connect: Callable[[], AbstractAsyncContextManager[Connection]],
    told: Callable[[UUID | None], None],
) -> None:
    """Keep one connection that listens; when it breaks, take another. `told` gets the saga that is named, if any."""
    pause = 0.1
    while True:
        gone = asyncio.Event()

        def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            told(_named(str(payload)))

        def ended(_connection: object, gone: asyncio.Event = gone) -> None:
            gone.set()

        with contextlib.suppress(StoreError):
            async with connect() as given:
                connection: Any = given  # Any: only the driver's connections listen, whatever wraps them
                await connection.add_listener(channel, heard)
                connection.add_termination_listener(ended)
                try:
                    pause = 0.1
                    told(None)
                    await gone.wait()
                finally:
                    if not connection.is_closed():  # a pool wants it back as it was
                        connection.remove_termination_listener(ended)
                        with contextlib.suppress(*DRIVER_ERRORS):
                            async with asyncio.timeout(1):
                                await connection.remove_listener(channel, heard)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)


def _named(payload: str) -> UUID | None:
    """The saga a notification names; anybody may notify, so anything may come."""
    try:
        return UUID(payload)
    except ValueError:
        return None
