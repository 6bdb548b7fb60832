"""Connections to RabbitMQ by an address alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import aio_pika
from aio_pika.abc import AbstractConnection

_PATIENCE: Final = 5.0


def by_address(address: str) -> Callable[[], Awaitable[AbstractConnection]]:
    """Connect once. A connection that is lost is closed for good: a "robust" one would let a call wait until it is back."""

    async def connect() -> AbstractConnection:
        return await aio_pika.connect(address, timeout=_PATIENCE)

    return connect
