"""Events for business keys in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import final
from uuid import UUID

import attrs
import msgspec

from saga_fn.core.ids import Moment
from saga_fn.store.connection import CallerConnection
from saga_fn.store.ids import shard_of_key
from saga_fn.store.memory_sent import refuse
from saga_fn.store.protocol import Store
from saga_fn.store.records import (
    EXPIRED_AT_ONCE,
    FIRST_KEY,
    HANDED_OVER_AT_ONCE,
    KEPT_FOR,
    MOST_KEPT,
    MOST_UNREAD,
    UNDELIVERED_AT_ONCE,
    InboxMessage,
    KeptEvent,
    KeyedEvent,
    MessageStatus,
    Recipient,
    SagaRecord,
    Sought,
    time_of,
)


@attrs.define
class _Event:
    kept: KeptEvent
    for_next: bool
    saga_id: UUID | None = None
    """Whose inbox it was put into."""
    repeated: bool = False
    """Whether that inbox had it before."""

    @property
    def key(self) -> tuple[str, str]:
        return self.kept.name, self.kept.aggregation_id


@final
class MemoryKeptEvents:
    """Events that were sent to a name and a business key, until a saga of the store is active under them."""

    def __init__(
        self,
        store: Store,
        sagas: Callable[[], Iterable[SagaRecord]],
        post: Callable[[UUID, InboxMessage], bool],
        has: Callable[[UUID, UUID], bool],
    ) -> None:
        """`sagas` gives the rows of all sagas in the store, `post` puts a message into an inbox: False if that has it.

        `has` says whether a saga's inbox has a message of that id.
        """
        self._store = store
        self._sagas = sagas
        self._post = post
        self._has = has
        self._events: dict[tuple[str, str, UUID], _Event] = {}

    async def keep(
        self,
        shard: int,
        key: tuple[str, str],
        message: InboxMessage,
        event: str,
        *,
        expires: Moment | None,
        for_next: bool,
        sent_at: datetime | None = None,
    ) -> MessageStatus:
        """Store an event for the saga that is, or will be, active under that key, if there is room for it."""
        if (*key, message.id) in self._events:
            return MessageStatus.DUPLICATE
        at = time_of(self._store.now()) if sent_at is None else sent_at
        if not for_next and self._is_over(key, at):
            return await self._after_end(key, message.id)
        if len(self._kept_for(key)) >= MOST_KEPT:
            return MessageStatus.FULL
        latest = time_of(self._store.now()) + KEPT_FOR
        until = latest if expires is None else min(time_of(expires), latest)
        self._events[*key, message.id] = _Event(KeptEvent(*key, message.id, event, message.body, at, until), for_next)
        return MessageStatus.STORED

    async def recipients(self, shard: int, wanted: Sequence[Sought]) -> list[Recipient]:
        """Who gets each of these events for business keys."""
        return [
            Recipient(
                await self._store.active(shard, each.name, each.aggregation_id),
                known=each in self._events,
                has_kept=any(other.key == each[:2] and other.saga_id is None for other in self._events.values()),
            )
            for each in wanted
        ]

    def remember(
        self, key: tuple[str, str], saga_id: UUID, message: InboxMessage, event: KeyedEvent, *, repeated: bool
    ) -> None:
        """Remember an event that was sent to a business key, and that its saga has got, until it expires."""
        at = time_of(self._store.now())
        until = at + KEPT_FOR if event.expires is None else min(time_of(event.expires), at + KEPT_FOR)
        kept = KeptEvent(*key, message.id, event.name, message.body, at, until)
        self._events.setdefault((*key, message.id), _Event(kept, for_next=False, saga_id=saga_id, repeated=repeated))

    async def hand_over(self, shard: int, key: tuple[str, str]) -> UUID | None:
        """Put what is kept for the key into the inbox of its active saga."""
        saga_id = await self._store.active(shard, *key)
        if saga_id is None:
            return None
        room = max(0, MOST_UNREAD - len(await self._store.messages(saga_id)))
        kept = self._kept_for(key)[: min(HANDED_OVER_AT_ONCE, room)]
        for each in kept:
            each.repeated = not self._post(saga_id, InboxMessage(each.kept.id, "event", each.kept.body))
            each.saga_id = saga_id
        return saga_id if kept else None

    async def recipient_of(self, shard: int, key: tuple[str, str], event_id: UUID) -> UUID | MessageStatus | None:
        """The saga that has got this event for a key, or what else became of it."""
        found = self._events.get((*key, event_id))
        if found is None:
            return None
        if found.repeated:
            return MessageStatus.DUPLICATE
        if found.saga_id is None and self._is_left(found):
            found.kept = msgspec.structs.replace(found.kept, expires_at=time_of(self._store.now()))
            return await self._after_end(key, event_id)
        return found.saga_id

    async def _after_end(self, key: tuple[str, str], event_id: UUID) -> MessageStatus:
        """DUPLICATE for an event that a saga of the key had got before it ended, by its own id; else ENDED."""
        over = [row.id for row in self._of(key) if row.ended_at is not None]
        return MessageStatus.DUPLICATE if any(self._has(saga_id, event_id) for saga_id in over) else MessageStatus.ENDED

    async def discard(self, shard: int, key: tuple[str, str], event: str | None) -> int:
        """Forget what waits for a saga of that key."""
        kept = [each for each in self._kept_for(key) if event in (None, each.kept.event)]
        for each in kept:
            del self._events[*key, each.kept.id]
        return len(kept)

    async def knows(self, shard: int, name: str, *, connection: CallerConnection | None = None) -> bool:
        """Whether a saga of that name with a business key is, or was, in the store."""
        refuse(connection)
        return any(row.name == name and row.aggregation_id is not None for row in self._sagas())

    def is_kept_back(self, key: tuple[str, str]) -> bool:
        """Whether an event for that key is kept that only the next saga could get, and does not get while one that ended is known."""
        now = time_of(self._store.now())
        return any(
            each.key == key and each.saga_id is None and not each.for_next and each.kept.expires_at > now
            for each in self._events.values()
        )

    def _of(self, key: tuple[str, str]) -> list[SagaRecord]:
        name, aggregation_id = key
        return [row for row in self._sagas() if row.aggregation_id == aggregation_id and row.name == name]

    def _is_over(self, key: tuple[str, str], sent_at: datetime) -> bool:
        """Whether one of the key has ended, and none is active that had begun when an event was sent."""
        of_key = self._of(key)
        has_ended = any(row.ended_at is not None for row in of_key)
        return has_ended and not any(row.ended_at is None and row.created_at <= sent_at for row in of_key)

    def _is_left(self, event: _Event) -> bool:
        """Whether no saga gets it any more: one of its key has ended since, and it is not for the next."""
        return not event.for_next and self._is_over(event.key, event.kept.sent_at)

    async def undelivered(self, shard: int, *, after: tuple[str, str] = FIRST_KEY) -> list[tuple[str, str]]:
        """The first keys after that one whose active saga has not got all that it gets."""
        keys = sorted({each.key for each in self._kept() if each.key > after})
        here = [key for key in keys if shard_of_key(key[1], self._store.shards) == shard]
        return [key for key in here if await self._store.active(shard, *key) is not None][:UNDELIVERED_AT_ONCE]

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

    def _kept_for(self, key: tuple[str, str]) -> list[_Event]:
        return [each for each in self._kept() if each.key == key]

    def _kept(self) -> list[_Event]:
        """Those that some saga may get."""
        return [each for each in self._untaken() if not self._is_left(each)]

    def _untaken(self) -> list[_Event]:
        now = time_of(self._store.now())
        return [each for each in self._events.values() if each.saga_id is None and each.kept.expires_at > now]
