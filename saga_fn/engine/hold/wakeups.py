"""Wake-ups of other processes: gathered, so that however much happens here, few of them are sent."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store
from saga_fn.store.records import Hint
from saga_fn.tasks import Errands

_PAUSE = 0.05
"""Seconds between two sendings: every NOTIFY takes a lock that all of the server's notifying commits share."""


class WakeupNotifier:
    """The first hint leaves at once; those that follow within the pause leave together. Any of them may be lost."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: set[UUID] = set()
        self._due_since: Moment | None = None
        self._sending = Errands()
        self._closing = asyncio.Event()

    def send(self, hint: Hint) -> None:
        """Tell the others that this saga has messages, or since when something may be due; of that, the earliest leaves."""
        if isinstance(hint, UUID):
            self._pending.add(hint)
        else:
            self._due_since = hint if self._due_since is None else min(hint, self._due_since)
        if not self._sending.running:
            self._closing = asyncio.Event()
            self._sending.add(self._send_what_there_is(self._closing))

    async def stop(self, patience: float = 0.5) -> None:
        """Send what is waiting, and nothing more; waits `patience` seconds at most."""
        self._closing.set()
        await self._sending.stop(patience / 2, first=patience / 2)

    async def _send_what_there_is(self, closing: asyncio.Event) -> None:
        while self._pending or self._due_since is not None:
            await self._send()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), _PAUSE)

    async def _send(self) -> None:
        hints: list[Hint] = [*self._pending]
        if self._due_since is not None:
            hints.append(self._due_since)
        self._pending, self._due_since = set(), None
        try:
            await self._store.hint(hints)
        except StoreError:
            return  # each worker looks by itself, too
