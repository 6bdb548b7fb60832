"""Connections to NATS by an address alone."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from nats.aio.client import Client

from saga_fn.brokers.sending import told

_log = logging.getLogger("saga_fn")


def by_address(address: str) -> Callable[[], Awaitable[Client]]:
    """Connect to the first of these servers, separated by commas, that answers; a connection that is lost is closed for good."""

    async def connect() -> Client:
        client = Client()
        try:
            # The client's own way to reconnect keeps what is published meanwhile in memory, and never says that it failed.
            await client.connect(
                address.split(","),
                error_cb=_tell,
                connect_timeout=2,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
            )
        except BaseException:
            await client.close()
            raise
        return client

    return connect


async def _tell(error: Exception) -> None:
    _log.debug("NATS: %s", told(error))
