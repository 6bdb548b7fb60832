"""Hints to other processes: gathered, so that however much happens here, few of them are sent."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store

_PAUSE = 0.05
"""Seconds between two sendings: every NOTIFY takes a lock that all of the server's notifying commits share."""
_PATIENCE = 1.0
"""Seconds that a stop waits for hints that are on their way."""


class Hints:
    """The first hint leaves at once; those that follow within the pause leave together. Any of them may be lost."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: set[UUID | None] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def send(self, saga_id: UUID | None) -> None:
        """Tell the others that something is due, or that this saga has mail."""
        self._pending.add(saga_id)
        if self._task is None:
            self._task = asyncio.create_task(self._send_what_there_is())

    async def stop(self) -> None:
        """Send what is waiting, and nothing more."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_PATIENCE)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._closing.clear()

    async def _send_what_there_is(self) -> None:
        try:
            while self._pending:
                await self._send()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _PAUSE)
        finally:
            self._task = None

    async def _send(self) -> None:
        pending, self._pending = self._pending, set()
        if pending:
            try:
                await self._store.hint(list(pending))
            except StoreError:
                return  # everybody looks by themselves, too
