"""Events that were sent in callers' transactions: when these are committed, they are sent as any sender does.

A row is taken for the length of a lease. A process that dies meanwhile leaves it to the next one, and an event that was sent
before is known by its id. So each event is handed over once, by the process that comes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias, final
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_upkeep import SentEventDropped
from saga_fn.engine.recent import Recent
from saga_fn.store.ids import shard_of_key
from saga_fn.store.protocol import Store
from saga_fn.store.records import SENT_AT_ONCE, MessageStatus, SentEvent, is_full

_AT_ONCE: Final = 8
"""Sagas and business keys that events are handed over to at once: one whose row is locked keeps the others waiting no longer."""

_Done: TypeAlias = dict[UUID, str | None]
"""By the ids of rows: each is where it belongs (None), or was dropped, and why."""


@final
class HandingOver:
    """The way of such events to their sagas, for one process."""

    def __init__(
        self,
        store: Store,
        observers: Observers,
        announce: Callable[[UUID | None, Moment], None],
        have_read: Callable[[UUID], Awaitable[None]],
        lease: timedelta,
    ) -> None:
        """`announce` is called with a saga that was given an event, and with None, and with a moment before it was.

        `have_read` is called with a saga whose inbox is full.
        """
        self._store = store
        self._observers = observers
        self._announce = announce
        self._have_read = have_read
        self._lease = lease
        self.awaited: Recent = Recent()
        """The events that this process has sent, and that were not handed over here."""

    async def run(self) -> None:
        """Hand over what is committed. An event that cannot be handed over now is left for the length of the lease.

        Raises the first StoreError that came, when the events for other sagas were handed over.
        """
        while True:
            events = await self._store.sent_events.claim(lease=self._lease)
            if not events:
                return
            await self._hand_over_all(events)
            if len(events) < SENT_AT_ONCE and not is_full(event.message.body for event in events):
                return

    async def _hand_over_all(self, events: Sequence[SentEvent]) -> None:
        by_target: dict[UUID | tuple[str, str], list[SentEvent]] = {}
        for event in events:
            by_target.setdefault(event.target, []).append(event)
        slots = asyncio.Semaphore(_AT_ONCE)
        done: _Done = {}

        async def of(target: UUID | tuple[str, str], sent: Sequence[SentEvent]) -> None:
            async with slots:
                if isinstance(target, UUID):
                    await self._to_saga(target, sent, done)
                else:
                    await self._to_key(target, sent, done)

        ends = await asyncio.gather(*(of(*each) for each in by_target.items()), return_exceptions=True)
        removed: frozenset[UUID] = frozenset()
        if done:
            removed = await self._store.sent_events.remove(list(done))
        for event in events:
            self.awaited.discard(event.message.id)
            why = done.get(event.id)
            if why is not None and event.id in removed:
                self._observers.tell(SentEventDropped(event.target, event.event, why))
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _to_saga(self, saga_id: UUID, events: Sequence[SentEvent], done: _Done) -> None:
        store = self._store
        told, since = False, store.now()
        try:
            for event in events:
                if _is_void(event, store.now()):
                    done[event.id] = _EXPIRED
                    continue
                match await store.send(saga_id, event.message):
                    case MessageStatus.STORED | MessageStatus.DUPLICATE:
                        done[event.id] = None
                        told = True
                    case MessageStatus.NO_ACTIVE_SAGA | MessageStatus.ENDED:
                        got = await store.read_answer(
                            saga_id, event.message.id
                        )  # by a process that died before it removed the row
                        done[event.id] = _ENDED if got is None else None
                    case MessageStatus.FULL:
                        await self._have_read(saga_id)
                        return
        finally:
            if told:
                self._announce(saga_id, since)
                self._announce(None, since)

    async def _to_key(self, key: tuple[str, str], events: Sequence[SentEvent], done: _Done) -> None:
        kept, shard = self._store.kept_events, shard_of_key(key[1], self._store.shards)
        stored: list[SentEvent] = []
        full = False
        for event in events:
            if _is_void(event, self._store.now()):
                done[event.id] = _EXPIRED
                continue
            match await kept.keep(
                shard,
                key,
                event.message,
                event.event,
                expires=event.expires,
                for_next=event.for_next,
                sent_at=event.sent_at,
            ):
                case MessageStatus.STORED | MessageStatus.DUPLICATE:
                    stored.append(event)
                case MessageStatus.ENDED:
                    done[event.id] = _ENDED
                case MessageStatus.FULL | MessageStatus.NO_ACTIVE_SAGA:
                    full = True
                    break
        since = self._store.now()
        saga_id = await kept.hand_over(shard, key)
        if saga_id is not None:
            self._announce(saga_id, since)
            self._announce(None, since)
        elif full and (active := await self._store.active(shard, *key)) is not None:
            await self._have_read(active)
        for event in stored:
            fate = await kept.recipient_of(shard, key, event.message.id)
            done[event.id] = _ENDED if fate is MessageStatus.ENDED else None


_EXPIRED: Final = "it was void by then"
_ENDED: Final = "the saga had ended by then"


def _is_void(event: SentEvent, now: Moment) -> bool:
    return event.expires is not None and event.expires <= now
