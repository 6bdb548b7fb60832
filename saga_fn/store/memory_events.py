"""Events for business keys in memory."""

from __future__ import annotations

from typing import final
from uuid import UUID

import attrs

from saga_fn.core.ids import Moment
from saga_fn.store.ids import shard_of_key
from saga_fn.store.protocol import Store
from saga_fn.store.records import KEPT_FOR, MOST_KEPT, KeptEvent, Letter, Posted, time_of


@attrs.define
class _Event:
    kept: KeptEvent
    saga_id: UUID | None = None
    """Whose inbox it was put into."""


@final
class MemoryKeptEvents:
    """What was sent to a name and a business key, until a saga of the store is active under them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events: dict[tuple[str, str, UUID], _Event] = {}

    async def keep(
        self, shard: int, key: tuple[str, str], letter: Letter, event: str, *, expires: Moment | None
    ) -> Posted:
        """Store an event for whatever saga is, or will be, active under that key, if there is room for it."""
        if (*key, letter.id) in self._events:
            return Posted.KNOWN
        if len([each for each in self._kept() if (each.kept.name, each.kept.aggregation_id) == key]) >= MOST_KEPT:
            return Posted.NOBODY
        at = time_of(self._store.now())
        until = at + KEPT_FOR if expires is None else time_of(expires)
        self._events[*key, letter.id] = _Event(KeptEvent(*key, letter.id, event, letter.body, at, until))
        return Posted.STORED

    async def hand_over(self, shard: int, key: tuple[str, str]) -> UUID | None:
        """Put what is kept for the key into the inbox of its active saga."""
        kept = [each for each in self._kept() if (each.kept.name, each.kept.aggregation_id) == key]
        saga_id = await self._store.active(shard, *key)
        if saga_id is None or not kept:
            return None
        for each in kept:
            await self._store.send(saga_id, Letter(each.kept.id, "event", each.kept.body))
            each.saga_id = saga_id
        return saga_id

    async def taker(self, shard: int, key: tuple[str, str], event_id: UUID) -> UUID | None:
        """The saga that has got this event for a key."""
        found = self._events.get((*key, event_id))
        return None if found is None else found.saga_id

    async def stranded(self, shard: int) -> list[tuple[str, str]]:
        """Keys with kept events and an active saga."""
        keys = dict.fromkeys((each.kept.name, each.kept.aggregation_id) for each in self._kept())
        here = [key for key in keys if shard_of_key(key[1], self._store.shards) == shard]
        return [key for key in here if await self._store.active(shard, *key) is not None]

    async def drop_expired(self, shard: int) -> None:
        """Forget the events for keys that have expired."""
        now = time_of(self._store.now())
        self._events = {key: each for key, each in self._events.items() if each.kept.expires_at > now}

    async def read(self, shard: int, name: str | None, aggregation_id: str | None) -> list[KeptEvent]:
        """The events that wait for a saga of that name and key, the oldest first."""
        return [
            each.kept
            for each in self._kept()
            if shard_of_key(each.kept.aggregation_id, self._store.shards) == shard
            and name in (None, each.kept.name)
            and aggregation_id in (None, each.kept.aggregation_id)
        ]

    def _kept(self) -> list[_Event]:
        now = time_of(self._store.now())
        return [each for each in self._events.values() if each.saga_id is None and each.kept.expires_at > now]
