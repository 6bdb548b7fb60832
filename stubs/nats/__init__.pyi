# What we use of nats-py, whose own types leave half of each signature open.

from collections.abc import Awaitable, Callable, Sequence

from nats import errors as errors
from nats.aio.client import Client

async def connect(
    servers: str | Sequence[str] = ...,
    *,
    name: str | None = ...,
    error_cb: Callable[[Exception], Awaitable[None]] | None = ...,
) -> Client: ...
