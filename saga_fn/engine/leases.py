"""Renewal of the leases a process holds: one statement for all of them, for as long as there are any.

A lease is compared only with the database's clock. This process keeps a local deadline beside it, measured from before
the request was sent: past that it starts nothing, cuts short what runs, and leaves the saga to whoever takes it over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from saga_fn.engine.interpreter import Interpreter
from saga_fn.errors import StoreError
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store

_log = logging.getLogger("saga_fn")


class LeaseKeeper:
    """Keeps the leases of the interpreters in `held`, which others fill and empty."""

    def __init__(self, store: Store, held: Mapping[UUID, Interpreter], *, owner: UUID, lease: timedelta) -> None:
        self._store = store
        self._held = held
        self._owner = owner
        self._lease = lease
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    def ensure_running(self) -> None:
        """Begin to renew, unless it goes on already. It stops by itself when nothing is held."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew_for_as_long_as_needed())
            self._watch = asyncio.create_task(self._watch_deadlines())

    async def stop(self) -> None:
        """Renew nothing more."""
        for task in (self._task, self._watch):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _watch_deadlines(self) -> None:
        """Apart from renewal, so that a renewal that hangs cannot keep a lost saga running."""
        pause = self._lease.total_seconds() / 10
        while self._held:
            asleep = time.monotonic()
            await asyncio.sleep(pause)
            lag = time.monotonic() - asleep - pause
            if lag > self._lease.total_seconds() / 3:
                _log.warning("the event loop was blocked for %.1f s: a step runs code that does not await", lag)
            for interpreter in list(self._held.values()):
                if time.monotonic() >= interpreter.saga.deadline:
                    _log.warning("the lease on saga %s ran out before it could be renewed", interpreter.saga.id)
                    interpreter.lose()

    async def _renew_for_as_long_as_needed(self) -> None:
        seconds = self._lease.total_seconds()
        while self._held:
            await asyncio.sleep(seconds / 4)
            try:
                await self._renew_half_spent()
            except StoreError as error:
                _log.warning("leases could not be renewed: %s", error.fact)

    async def _renew_half_spent(self) -> None:
        half = time.monotonic() + self._lease.total_seconds() / 2
        by_shard: dict[int, dict[UUID, UUID]] = defaultdict(dict)
        for saga_id, interpreter in sorted(self._held.items()):
            if interpreter.saga.deadline < half + self._lease.total_seconds() / 4:
                by_shard[shard_of(saga_id, self._store.shards)][saga_id] = interpreter.saga.token
        for shard, tokens in by_shard.items():
            sent = time.monotonic()
            renewed = await self._store.renew(shard, tokens, owner=self._owner, lease=self._lease)
            for saga_id, token in tokens.items():
                held = self._held.get(saga_id)
                if held is None or held.saga.token != token:
                    continue
                signals = renewed.signals.get(saga_id)
                if signals is None:
                    await self._read_back(held)
                    continue
                held.saga.deadline = sent + self._lease.total_seconds()
                if signals > held.saga.signals:
                    held.nudge(signals)

    async def _read_back(self, interpreter: Interpreter) -> None:
        """A row that renewal did not return is lost only if it says so: it may have been locked just then."""
        row = await self._store.read(interpreter.saga.id)
        still_live = self._held.get(interpreter.saga.id) is interpreter
        if still_live and (row is None or row.token != interpreter.saga.token):
            interpreter.lose()
