"""The sweep of the relay: it looks for what this process has not come to, and for what a dead one has left.

It takes the first message of a saga and no other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Final, Protocol, final
from uuid import UUID

from saga_fn import steady
from saga_fn.engine.hold.lane import Lane
from saga_fn.engine.hold.lanes import Lanes
from saga_fn.engine.hold.relay_store import RelayStore
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_outgoing import PublisherFailed, RelayHeldUp
from saga_fn.engine.upkeep import Upkeep
from saga_fn.errors import StoreError
from saga_fn.store.records import HeldMessage

_POLL: Final = 2.0
"""Seconds between two looks for messages that other processes have left; nothing that goes well waits for one."""
_SELDOM: float = 60.0
"""Seconds between two looks of a process with no publisher and no hook: verbs of a process that does not know a definition write
calls for all hooks that it might have, and only who knows it can let those go."""
_SOON: Final = 0.25
"""Seconds until a saga is looked at again whose earlier messages another process holds."""
_LOOKS: Final = 20
"""After so many such looks the saga is left to the sweep."""
_MOST_WATCHED: Final = 1000
_MOST_LEFT: Final = 10_000
"""The messages of so many sagas are given back for which there was no room; those of others when their lease is over."""


class Holder(Protocol):
    """The one that publishes what the sweep takes."""

    @property
    def wanted(self) -> bool:
        """Whether this process could publish anything."""
        ...

    def holds(self, saga_id: UUID) -> bool:
        """Whether messages of the saga wait in memory."""
        ...

    def hold(self, held: Iterable[HeldMessage], sent: float) -> None:
        """Publish messages that were taken, asked for at that time: each is the first of its saga, which may have more."""
        ...

    def work(self, lane: Lane) -> None:
        """Go on with what waits in the lane, if no task does."""
        ...


@final
class Sweep:
    """The looks of one process for messages. `wake_in` has one made before its time."""

    def __init__(self, rows: RelayStore, lanes: Lanes, holder: Holder, observers: Observers) -> None:
        self._rows = rows
        self._lanes = lanes
        self._holder = holder
        self._observers = observers
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with nothing to look for."""
        self._watched: dict[UUID, int] = {}
        """Sagas whose next message is taken as soon as it is the first: how often that was looked for."""
        self._left: dict[UUID, None] = {}
        """Sagas whose messages this process holds in the store, and not in memory."""
        self._wake = asyncio.Event()
        self._next_look = 0.0
        self._sweeping: Upkeep | None = None

    @property
    def running(self) -> bool:
        """Whether it looks from time to time."""
        return self._sweeping is not None

    def start(self) -> None:
        """Look from time to time, from now on."""
        self._sweeping = Upkeep("publishes messages that were left", self._sweep, self._observers)
        self._sweeping.start()

    async def stop(self) -> None:
        """Look no more."""
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            await sweeping.stop(0.5)

    def forget(self) -> set[UUID]:
        """Give the sagas whose messages may be held in the store, and not in memory; forget them."""
        found = {*self._left, *self._watched}
        self._left.clear()
        self._watched.clear()
        return found

    # The relay tells it these.

    def leave_behind(self, saga_id: UUID) -> None:
        """Messages of the saga are held in the store, and not in memory: they are given back."""
        if len(self._left) < _MOST_LEFT:
            self._left[saga_id] = None

    def watch(self, saga_id: UUID) -> None:
        """Take the saga's next message as soon as it is the first: another process holds an earlier one."""
        if len(self._watched) < _MOST_WATCHED:
            self._watched[saga_id] = 0
            self.wake_in(_SOON)
        else:
            self.leave_behind(saga_id)

    def wake_in(self, seconds: float) -> None:
        """Look no later than that."""
        at = steady.now() + seconds
        if at < self._next_look:
            self._next_look = at
            self._wake.set()

    # The looks.

    async def _sweep(self) -> None:
        while True:
            self._wake.clear()
            wanted = self._holder.wanted
            self._next_look = steady.now() + (_POLL if wanted else _SELDOM) * random.uniform(0.8, 1.2)
            if not wanted:
                await self._rest()
            for errand in (self._look_at_watched, self._give_back_what_was_left, self.look):
                try:
                    await errand()
                except StoreError as error:  # it holds up none of the others
                    self._observers.tell(RelayHeldUp(error, is_taking=True))
            for lane in self._lanes.all:  # other code may have cancelled its task
                self._holder.work(lane)
                self._tell_if_it_hangs(lane)
            await self._rest()

    def _tell_if_it_hangs(self, lane: Lane) -> None:
        """Say once of a call that it does not end: nothing else would, before it has."""
        if lane.hangs and not lane.is_hang_told:
            lane.is_hang_told = lane.is_told = True
            reason = "its call goes on though it was cut short"
            self._observers.tell(PublisherFailed(lane.name, reason, hangs=True))

    async def _rest(self) -> None:
        while (left := self._next_look - steady.now()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
                self._wake.clear()
            except TimeoutError:
                return

    async def look(self) -> int:
        """Take what was left, topic by topic, as much as there is room for; gives how many were taken."""
        taken = 0
        for shard, topic in await self._rows.due():
            lane = self._lanes.of(topic)
            while lane is not None and lane.room and not (lane.down and lane.waiting):
                # The leases of others would end before the turn of a publisher that fails comes.
                sent = steady.now()
                held, more = await self._rows.claim(shard, topic, 1 if lane.down else lane.room, self.leave_behind)
                taken += len(held)
                self._holder.hold(held, sent)
                if not more:
                    break
            if lane is not None and (lane.down or not lane.room):
                lane.has_more = True
        return taken

    async def _give_back_what_was_left(self) -> None:
        left = {saga_id for saga_id in self._left if not self._holder.holds(saga_id)}
        self._left.clear()
        try:
            await self._rows.give_back(left)
        finally:  # what it was cut short in, the next look does, or the end of this process
            for saga_id in left:
                self.leave_behind(saga_id)

    async def _look_at_watched(self) -> None:
        if not self._watched:
            return
        taken = await self._rows.take(list(self._watched), self._holder.hold, self.leave_behind)
        for saga_id, looks in list(self._watched.items()):
            if saga_id in taken or self._holder.holds(saga_id):
                self._watched.pop(saga_id, None)
            elif looks >= _LOOKS:
                self._watched.pop(saga_id, None)
                self.leave_behind(saga_id)
            else:
                self._watched[saga_id] = looks + 1
        if self._watched:
            self.wake_in(_SOON)
