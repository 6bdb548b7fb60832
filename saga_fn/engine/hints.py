"""Hints to other processes: gathered, so that however much happens here, few of them are sent."""

from __future__ import annotations

import asyncio
from uuid import UUID

from saga_fn.errors import StoreError
from saga_fn.store.protocol import Store

_PAUSE = 0.05
"""Seconds between two sendings: every NOTIFY takes a lock that all of the server's notifying commits share."""


class Hints:
    """The first hint leaves at once; those that follow within the pause leave together. Any of them may be lost."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: set[UUID | None] = set()
        self._task: asyncio.Task[None] | None = None

    def send(self, saga_id: UUID | None) -> None:
        """Tell the others that something is due, or that this saga has mail."""
        self._pending.add(saga_id)
        if self._task is None:
            self._task = asyncio.create_task(self._send_what_there_is())

    async def stop(self) -> None:
        """Send what is waiting, and nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._send()

    async def _send_what_there_is(self) -> None:
        try:
            while self._pending:
                await self._send()
                await asyncio.sleep(_PAUSE)
        finally:
            self._task = None

    async def _send(self) -> None:
        pending, self._pending = self._pending, set()
        if pending:
            try:
                await self._store.hint(list(pending))
            except StoreError:
                return  # everybody looks by themselves, too
