from collections.abc import Awaitable, Callable, Sequence

from nats.js import JetStreamContext

class Client:
    @property
    def is_closed(self) -> bool: ...
    @property
    def is_connected(self) -> bool: ...
    @property
    def max_payload(self) -> int: ...
    async def connect(
        self,
        servers: str | Sequence[str] = ...,
        *,
        error_cb: Callable[[Exception], Awaitable[None]] | None = ...,
        connect_timeout: int = ...,
        allow_reconnect: bool = ...,
        max_reconnect_attempts: int = ...,
        reconnect_time_wait: int = ...,
    ) -> None: ...
    async def close(self) -> None: ...
    def jetstream(self) -> JetStreamContext: ...
