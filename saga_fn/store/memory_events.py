"""Events for business keys in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import final
from uuid import UUID

import attrs

from saga_fn.core.ids import Moment
from saga_fn.store.ids import shard_of_key
from saga_fn.store.protocol import Store
from saga_fn.store.records import EXPIRED_AT_ONCE, KEPT_FOR, MOST_KEPT, KeptEvent, Letter, Posted, SagaRecord, time_of


@attrs.define
class _Event:
    kept: KeptEvent
    for_next: bool
    saga_id: UUID | None = None
    """Whose inbox it was put into."""


@final
class MemoryKeptEvents:
    """What was sent to a name and a business key, until a saga of the store is active under them."""

    def __init__(self, store: Store, sagas: Callable[[], Iterable[SagaRecord]]) -> None:
        """`sagas` gives the rows of all sagas in the store."""
        self._store = store
        self._sagas = sagas
        self._events: dict[tuple[str, str, UUID], _Event] = {}

    async def keep(
        self,
        shard: int,
        key: tuple[str, str],
        letter: Letter,
        event: str,
        *,
        expires: Moment | None,
        for_next: bool,
    ) -> Posted:
        """Store an event for the saga that is, or will be, active under that key, if there is room for it."""
        if (*key, letter.id) in self._events:
            return Posted.KNOWN
        if not for_next and await self._is_over(shard, key):
            return Posted.ENDED
        if len([each for each in self._kept() if (each.kept.name, each.kept.aggregation_id) == key]) >= MOST_KEPT:
            return Posted.FULL
        at = time_of(self._store.now())
        until = at + KEPT_FOR if expires is None else min(time_of(expires), at + KEPT_FOR)
        self._events[*key, letter.id] = _Event(KeptEvent(*key, letter.id, event, letter.body, at, until), for_next)
        return Posted.STORED

    async def hand_over(self, shard: int, key: tuple[str, str]) -> UUID | None:
        """Put what is kept for the key into the inbox of its active saga."""
        saga_id = await self._store.active(shard, *key)
        record = None if saga_id is None else await self._store.read(saga_id)
        if saga_id is None or record is None:
            return None
        kept = [each for each in self._kept() if (each.kept.name, each.kept.aggregation_id) == key]
        if self._ended(key):
            kept = [each for each in kept if each.for_next or record.created_at <= each.kept.sent_at]
        for each in kept:
            await self._store.send(saga_id, Letter(each.kept.id, "event", each.kept.body))
            each.saga_id = saga_id
        return saga_id if kept else None

    async def taker(self, shard: int, key: tuple[str, str], event_id: UUID) -> UUID | Posted | None:
        """The saga that has got this event for a key; ENDED if none will, for the key's saga has ended."""
        found = self._events.get((*key, event_id))
        if found is None or found.saga_id is not None or found.for_next:
            return None if found is None else found.saga_id
        return Posted.ENDED if await self._is_over(shard, key) else None

    async def discard(self, shard: int, key: tuple[str, str], event: str | None) -> int:
        """Forget what waits for a saga of that key."""
        kept = [
            each.kept
            for each in self._kept()
            if (each.kept.name, each.kept.aggregation_id) == key and event in (None, each.kept.event)
        ]
        for each in kept:
            del self._events[*key, each.id]
        return len(kept)

    async def knows(self, shard: int, name: str) -> bool:
        """Whether a saga of that name with a business key is, or was, in the store."""
        return any(row.name == name and row.aggregation_id is not None for row in self._sagas())

    def _ended(self, key: tuple[str, str]) -> bool:
        return any((row.name, row.aggregation_id) == key and row.ended_at is not None for row in self._sagas())

    async def _is_over(self, shard: int, key: tuple[str, str]) -> bool:
        return self._ended(key) and await self._store.active(shard, *key) is None

    async def stranded(self, shard: int) -> list[tuple[str, str]]:
        """Keys with kept events and an active saga."""
        keys = dict.fromkeys((each.kept.name, each.kept.aggregation_id) for each in self._kept())
        here = [key for key in keys if shard_of_key(key[1], self._store.shards) == shard]
        return [key for key in here if await self._store.active(shard, *key) is not None]

    async def drop_expired(self, shard: int) -> int:
        """Forget some of the events for keys that have expired; gives their number."""
        now = time_of(self._store.now())
        expired = [key for key, each in self._events.items() if each.kept.expires_at <= now][:EXPIRED_AT_ONCE]
        for key in expired:
            del self._events[key]
        return len(expired)

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
