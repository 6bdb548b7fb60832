"""The relay: gives outgoing messages to their publishers, after the commits that wrote them.

The process that commits publishes: its messages are handed over here in memory, and nothing is looked for. The sweep finds
what this process does not come to, and what a dead one has left; it takes the first message of a saga and no other.
Memory has a bound: what has no room is left to the sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, final
from uuid import UUID

from saga_fn.engine.hold.lane import Lane
from saga_fn.engine.hold.lanes import HookCaller, Lanes
from saga_fn.engine.hold.relay_lines import Lines
from saga_fn.engine.hold.relay_publishing import Publishing
from saga_fn.engine.hold.relay_store import RelayStore
from saga_fn.engine.hold.relay_sweep import Sweep
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.topics import Topics
from saga_fn.errors import StoreError
from saga_fn.outgoing import OutgoingMessage, OutgoingOptions, PublishOutcome
from saga_fn.store.protocol import Store
from saga_fn.store.records import HeldMessage, OutgoingRow

_GIVING_BACK: Final = 2.0
"""Seconds that a stop gives to the store to take back what this process holds."""


@final
class Relay:
    """The relay of one process."""

    def __init__(self, store: Store, topics: Topics, options: OutgoingOptions, observers: Observers) -> None:
        self._store = store
        self._topics = topics
        self._lanes: Lanes = Lanes(topics, options)
        self._rows: RelayStore = RelayStore(store, topics, options, observers)
        self._sweep: Sweep = Sweep(self._rows, self._lanes, self, observers)
        self._lines: Lines = Lines(self._lanes, self._sweep)
        self._publishing: Publishing = Publishing(self._lines, self._rows, self._sweep, topics, options, observers)
        self._has_hooks = self._has_definitions = False
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with nothing held, in whatever event loop comes next."""
        self._lanes.begin_life()
        self._rows.begin_life()
        self._sweep.begin_life()
        self._lines.clear()
        self._publishing.begin_life()
        self._running = False
        self._topics.token = None
        self._topics.written = self.written

    # Life.

    @property
    def working(self) -> bool:
        """Whether it looks for messages all the time."""
        return self._sweep.running and self.wanted

    @property
    def lanes(self) -> list[Lane]:
        """The publishers that were given something."""
        return self._lanes.all

    @property
    def wanted(self) -> bool:
        """Whether this process could publish anything."""
        return bool(self._topics.by_pattern) or self._has_hooks

    def call_hooks(self, caller: HookCaller) -> None:
        """Have hooks called by this."""
        self._lanes.hooks = caller

    def expect(self, *, hooks: bool) -> None:
        """A definition was registered, with hooks or without."""
        self._has_definitions = True
        self._has_hooks |= hooks
        self._start()
        if self.wanted:
            self._sweep.wake_in(0.0)

    def start(self) -> None:
        """The process is entered: what it commits is its own to publish."""
        self._running = True
        self._start()

    def _start(self) -> None:
        wanted = self.wanted or (self._has_definitions and self._topics.works)
        if self._running and wanted and not self._sweep.running:
            self._topics.token = self._rows.token
            self._sweep.start()

    async def stop(self) -> None:
        """Publish what is on its way, for a moment; leave the rest to others."""
        self._running = False
        self._topics.token = None
        await self._sweep.stop()
        await self._publishing.stop()
        await self._give_back()
        await self._lanes.leave()
        self._lanes.begin_life()
        self._lines.clear()
        self._publishing.stopped()

    async def _give_back(self) -> None:
        with suppress(TimeoutError):  # then their leases run out
            async with asyncio.timeout(_GIVING_BACK):
                await self._given_back(self._lines.sagas)
                await self._rows.taken()
                await self._given_back(set())
        await self._rows.stop()

    async def _given_back(self, held: set[UUID]) -> None:
        with suppress(StoreError):
            await self._rows.give_back(held | self._sweep.forget())

    # Messages come in.

    def written(self, saga_id: UUID, name: str, version: int, rows: Sequence[OutgoingRow], earlier: int) -> None:
        """Publish these messages, which have just become durable, in the saga's order.

        `earlier` is the revision of the last message that the saga had before; 0 if there is none.
        """
        if not self._sweep.running:  # nothing is published, or no longer
            return
        line = self._lines.written(saga_id, name, version, rows, earlier, self._store.now())
        if line is not None:
            self._publishing.put(line)

    def holds(self, saga_id: UUID) -> bool:
        """Whether messages of the saga wait in memory."""
        return self._lines.holds(saga_id)

    def hold(self, held: Iterable[HeldMessage], sent: float) -> None:
        """Publish messages that the store has given, asked for at that monotonic time."""
        self._publishing.hold(held, sent)

    def work(self, lane: Lane) -> None:
        """Go on with what waits in the lane, if no task does."""
        self._publishing.work(lane)

    async def publish(self, message: OutgoingMessage) -> PublishOutcome:
        """Publish a message now, beside what waits: for a hook whose turn it is."""
        return await self._lanes.publish(message)

    def look_soon(self) -> None:
        """Look now for what was left: an operator has decided on a message, or a caller has committed a start with a hook."""
        self._sweep.wake_in(0.0)

    async def work_off(self) -> bool:
        """Publish what is due now, and wait until that is done; for a process that works without being entered.

        Whether there was any. A message that fails meanwhile is tried again when it is due.
        """
        if not self.wanted:
            return False
        if self._sweep.running:
            self._sweep.wake_in(0.0)
        worked = False
        while await self._sweep.look() or self._publishing.errands.running:
            worked = True
            await self._publishing.errands.wait()
        if not self._sweep.running:
            await self._lanes.leave()
        return worked
