"""One connection to a broker, made when it is needed, and made again when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, final

from saga_fn.errors import SagaError
from saga_fn.printable import a_type_of

C = TypeVar("C")


def connector(
    address: str | Callable[[], Awaitable[C]], by_address: Callable[[str], Callable[[], Awaitable[C]]], *, example: str
) -> Callable[[], Awaitable[C]]:
    """How to connect: by an address, or by a function of the caller's. Raises SagaError for what is neither."""
    if isinstance(address, str):
        if address:
            return by_address(address)
    elif callable(address):
        return address
    raise SagaError(
        f"the address of a broker is a text, or an async function that connects, not {a_type_of(address)}",
        hint=f"for example {example}",
    )


@final
class Connection(Generic[C]):
    """Keeps one connection. `get` raises the errors of the broker, and its caller limits it in time.

    Args:
        connect: Makes one.
        alive: Whether one can still be used, now or when its client has reconnected it.
        close: Ends one.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[C]], alive: Callable[[C], bool], close: Callable[[C], Awaitable[object]]
    ) -> None:
        self._connect = connect
        self._alive = alive
        self._close = close
        self._lock = asyncio.Lock()
        self._current: C | None = None

    async def get(self) -> C:
        """The connection; a new one if the last one is gone."""
        async with self._lock:
            if self._current is not None and not self._alive(self._current):
                await self._end()
            if self._current is None:
                self._current = await self._connect()
            return self._current

    async def close(self) -> None:
        """End it. `get` makes a new one."""
        async with self._lock:
            await self._end()

    async def _end(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._close(current)
            except Exception:  # noqa: BLE001, S110 - it is of no use any more, whatever its client says at its end
                pass


_PATIENCE = 2.0
"""Seconds that the end of a connection may take: a broker that stands still answers no farewell."""
