"""The sweep: events for business keys that were left on their way are handed over, and expired ones forgotten.

A sender, or a start, that dies between two statements leaves an event behind. Each worker looks for those now and then.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, final
from uuid import UUID

from saga_fn import steady
from saga_fn.core.acts import came_of
from saga_fn.core.event_matching import Answer
from saga_fn.core.ids import Moment
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_upkeep import KeyNotHandedOver
from saga_fn.engine.registry import Registry
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.ids import shard_of_key
from saga_fn.store.protocol import Store
from saga_fn.store.records import EXPIRED_AT_ONCE, FIRST_KEY, OPERATIONS_AT_ONCE, UNDELIVERED_AT_ONCE, Progress, time_of

_DROP_EVERY: Final = 3600.0
"""Seconds."""
_ACTS_EVERY: Final = 300.0
"""Seconds."""
_ACTS_AT_ONCE: Final = 100
_LONG_AGO: Final = timedelta(minutes=5)
"""A caller waits for an act upon one saga a minute at most."""
_LONGEST_ACT: Final = timedelta(days=1)
"""An act that is not about one saga may last so long: to delete sagas takes hours."""
_LONGEST: Final = 0.5
"""Seconds after which a sweep begins no further portion of a shard: the worker claims nothing meanwhile."""


@final
class Sweep:
    """The sweeps of one process; each goes on where the one before it stopped.

    `announce` is called with the id of a saga that was given an event, and with a moment before it was. `have_read` is called
    with one whose inbox may be full.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        observers: Observers,
        announce: Callable[[UUID, Moment], None],
        have_read: Callable[[UUID], Awaitable[None]],
        keep_operations: timedelta | None,
    ) -> None:
        """`keep_operations`: how long the records of what operators have done are kept; None for ever."""
        self._store = store
        self._registry = registry
        self._observers = observers
        self._announce = announce
        self._have_read = have_read
        self._keep_operations = keep_operations
        self._next_drop = 0.0
        """When records of operators' acts are deleted next, by this process's clock."""
        self._next_acts = 0.0
        """When acts without an outcome are looked for next, by this process's clock."""
        self._after_act: tuple[datetime, UUID] | None = None
        """The act behind which the next look goes on."""
        self._after: dict[int, tuple[str, str]] = {}
        """By shard, the key behind which the next sweep goes on; a shard that is missing begins anew."""
        self._refused: dict[tuple[str, str], str] = {}
        """The keys whose events the store refuses to hand over, and why, as the log has it."""
        self._seen: set[tuple[str, str]] = set()
        """Those of them that were met since the sweep began anew."""

    async def run(self) -> None:
        """Hand over events that a sender or a start has left behind, and forget those that have expired."""
        give_up = steady.now() + _LONGEST
        for shard in range(self._store.shards) if self._registry.awaits_events else ():
            await self._sweep_shard(shard, give_up)
        await self.forget_expired()
        if steady.now() >= self._next_acts:
            self._next_acts = steady.now() + _ACTS_EVERY * random.uniform(0.5, 1.0)
            await self.finish_acts(older=_LONG_AGO)
        if self._keep_operations is not None and steady.now() >= self._next_drop:
            self._next_drop = steady.now() + _DROP_EVERY * random.uniform(0.5, 1.0)
            while await self._store.operations.drop(kept=self._keep_operations) == OPERATIONS_AT_ONCE:
                pass

    async def finish_acts(self, *, older: timedelta) -> None:
        """Write the outcomes of acts that their processes have not written: these have died, or were not answered in time."""
        operations, after, give_up = self._store.operations, self._after_act, steady.now() + _LONGEST
        self._after_act = None
        while found := await operations.unfinished(after=after, older=older, most=_ACTS_AT_ONCE):
            for act in found:
                if act.saga_id is None and time_of(self._store.now()) - act.began_at < _LONGEST_ACT:
                    continue
                trace = None if act.saga_id is None else await operations.trace(act.saga_id, act.id)
                outcome = came_of(act.verb, trace)
                if outcome is not None:
                    done = outcome == Answer.APPLIED
                    await operations.close(act.id, Progress(done=1) if done else Progress(refusals={outcome: 1}))
            after = (found[-1].began_at, found[-1].id)
            if steady.now() > give_up:
                self._after_act = after
                return

    async def forget_expired(self) -> None:
        """Forget the events for business keys that have expired, as many as there are."""
        for shard in range(self._store.shards):
            while await self._store.kept_events.drop_expired(shard) == EXPIRED_AT_ONCE:
                pass

    async def _sweep_shard(self, shard: int, give_up: float) -> None:
        """Go through the keys of a shard in order, from where the last sweep stopped, so that no key is in the way of others."""
        after = self._after.pop(shard, FIRST_KEY)
        while True:
            page = await self._store.kept_events.undelivered(shard, after=after)
            for key in page:
                await self._hand_over(key)
            if len(page) < UNDELIVERED_AT_ONCE:
                break
            after = page[-1]
            if steady.now() > give_up:
                self._after[shard] = after
                return
        of_shard = {key for key in self._refused if shard_of_key(key[1], self._store.shards) == shard}
        for key in of_shard - self._seen:
            del self._refused[key]
        self._seen -= of_shard

    async def _hand_over(self, key: tuple[str, str]) -> None:
        """Give the saga that is active under the key what was kept for it; what the store refuses costs this key, and no other."""
        shard, since = shard_of_key(key[1], self._store.shards), self._store.now()
        try:
            saga_id = await self._store.kept_events.hand_over(shard, key)
        except RowRejectedError as error:
            self._seen.add(key)
            if self._refused.get(key) != error.fact:  # it is told once for as long as it is so
                self._refused[key] = error.fact
                self._observers.tell(KeyNotHandedOver(key[0], error))
            return
        if saga_id is not None:
            self._announce(saga_id, since)
            return
        saga_id = await self._store.active(shard, *key)
        if saga_id is not None:  # its inbox may be full
            await self._have_read(saga_id)
