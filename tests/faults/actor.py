"""A process that does one thing for an operator, and kills itself in the middle of it: `main` begins it."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

from saga_fn import SagaAdmin, SagaOrchestrator
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.protocol import Store

NAME: Final = "shop"
PARTS: Final = ("operations", "lists", "pauses")
DEEDS: Final[dict[str, Callable[[SagaAdmin, str], Awaitable[object]]]] = {
    "pause_saga": lambda admin, saga: admin.pause_saga(UUID(saga)),
    "cancel": lambda admin, saga: admin.cancel(UUID(saga)),
    "resume": lambda admin, _: admin.resume(NAME, extend=True),
}


class Deadly:
    """Stands before a store whose process dies at call number `at`: before it, or while its statement is on its way."""

    def __init__(self, inner: object, point: str, at: int) -> None:
        self._inner = inner
        self._point = point
        self._left = [at]

    def __getattr__(self, name: str) -> Any:  # Any: whatever the store has by that name
        found = getattr(self._inner, name)
        if name in PARTS:
            part = Deadly(found, self._point, 0)
            part._left = self._left
            return part
        if not inspect.iscoroutinefunction(found) or name in {"open", "close", "hint"}:
            return found

        async def call(*args: Any, **named: Any) -> Any:  # Any: handed through
            self._left[0] -= 1
            if self._left[0] == 0:
                if self._point == "in":
                    sent = asyncio.create_task(found(*args, **named))
                    await asyncio.sleep(0.002)  # it is on its way, and whether it has been written is not known
                    sent.cancel()
                os.kill(os.getpid(), signal.SIGKILL)
            return await found(*args, **named)

        return call


async def main(dsn: str, deed: str, saga: str, point: str, at: str) -> None:
    """Do it, or die."""
    store = cast("Store", Deadly(PostgresStore(dsn), point, int(at)))  # it answers to all that the store behind it does
    async with SagaOrchestrator(store, concurrency=0, lease=timedelta(seconds=1)) as orchestrator:
        await DEEDS[deed](SagaAdmin(orchestrator, actor="ann@shop"), saga)
