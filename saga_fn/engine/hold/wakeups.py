"""WakeupNotifier to other processes: gathered, so that however much happens here, few of them are sent."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

from saga_fn.engine.tasks import cut_short, spawn
from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store

_PAUSE = 0.05
"""Seconds between two sendings: every NOTIFY takes a lock that all of the server's notifying commits share."""


class WakeupNotifier:
    """The first hint leaves at once; those that follow within the pause leave together. Any of them may be lost."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: set[UUID | None] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Event | None = None

    def send(self, saga_id: UUID | None) -> None:
        """Tell the others that something is due, or that this saga has messages."""
        self._pending.add(saga_id)
        if self._task is None or self._task.done():  # done: somebody has cancelled it
            self._closing = asyncio.Event()
            self._task = spawn(self._send_what_there_is(self._closing))

    async def stop(self, patience: float = 0.5) -> None:
        """Send what is waiting, and nothing more; waits `patience` seconds at most."""
        task, self._task = self._task, None
        if task is not None and self._closing is not None:
            self._closing.set()
            await asyncio.wait([task], timeout=patience / 2)
            await cut_short((task,), patience / 2)

    async def _send_what_there_is(self, closing: asyncio.Event) -> None:
        while self._pending:
            await self._send()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), _PAUSE)

    async def _send(self) -> None:
        pending, self._pending = self._pending, set()
        if pending:
            try:
                await self._store.hint(list(pending))
            except StoreError:
                return  # everybody looks by themselves, too
