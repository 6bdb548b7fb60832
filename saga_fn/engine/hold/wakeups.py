"""Wake-ups of other processes: gathered, so that however much happens here, few of them are sent."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store
from saga_fn.tasks import Errands

_PAUSE = 0.05
"""Seconds between two sendings: every NOTIFY takes a lock that all of the server's notifying commits share."""


class WakeupNotifier:
    """The first hint leaves at once; those that follow within the pause leave together. Any of them may be lost."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: set[UUID | None] = set()
        self._sending = Errands()
        self._closing = asyncio.Event()

    def send(self, saga_id: UUID | None) -> None:
        """Tell the others that something is due, or that this saga has messages."""
        self._pending.add(saga_id)
        if not self._sending.running:
            self._closing = asyncio.Event()
            self._sending.add(self._send_what_there_is(self._closing))

    async def stop(self, patience: float = 0.5) -> None:
        """Send what is waiting, and nothing more; waits `patience` seconds at most."""
        self._closing.set()
        await self._sending.stop(patience / 2, first=patience / 2)

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
