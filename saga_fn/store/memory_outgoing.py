"""Outgoing messages, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import final
from uuid import UUID

import attrs
import msgspec

from saga_fn.core.ids import Moment
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import (
    BLOCKED_FOR,
    MOST_COUNTED,
    PASSED_OVER_FOR,
    FailedMessage,
    HeldMessage,
    OutgoingCounts,
    OutgoingRecord,
    OutgoingRow,
    Place,
    SagaRecord,
    is_full,
    time_of,
)


@attrs.define
class _Message:
    """A row; `token` names the process that holds it."""

    record: OutgoingRecord
    token: UUID | None

    @property
    def place(self) -> Place:
        return self.record.saga_id, self.record.rev, self.record.n


@final
class MemoryOutgoing:
    """The outgoing messages of a store."""

    def __init__(self, store: Store, saga: Callable[[UUID], SagaRecord]) -> None:
        self._store = store
        self._saga = saga
        self._messages: dict[UUID, list[_Message]] = {}
        """By saga, in their order."""

    def add(self, saga_id: UUID, rows: Iterable[OutgoingRow], now: Moment) -> int | None:
        """Keep the messages of a commit; gives the revision of the last that the saga had before, if there is one."""
        at = time_of(now)
        before = self._messages.setdefault(saga_id, [])
        earlier = next((each.record.rev for each in reversed(before) if each.record.blocks), None)
        for row in rows:
            record = OutgoingRecord(
                saga_id,
                row.rev,
                row.n,
                row.topic,
                row.key,
                row.headers,
                row.body,
                0,
                None,
                at if row.token is None else at + row.lease,
                None,
                True,
                at,
                row.token is not None,
            )
            before.append(_Message(record, row.token))
        return earlier

    def holds(self, saga_id: UUID) -> bool:
        """Whether the saga has messages that are not published."""
        return bool(self._messages.get(saga_id))

    def next_due(self) -> datetime | None:
        """When the first of them may be taken, or could be already; for who moves the clock."""
        return min((each.record.due_at for each in self._all() if each.record.dead_at is None), default=None)

    async def due_topics(self) -> list[tuple[int, str]]:
        """The shards and topics of which messages may be taken."""
        found = {(self._shard(each.record.saga_id), each.record.topic) for each in self._due()}
        return sorted(found)

    async def claim(
        self, shard: int, topic: str, *, token: UUID, lease: timedelta, most: int
    ) -> tuple[list[HeldMessage], bool]:
        """Take the due messages of a topic that are the first of their sagas; and whether more of it may be due."""
        due = [each for each in self._due() if (self._shard(each.record.saga_id), each.record.topic) == (shard, topic)]
        looked_at = sorted(due, key=lambda each: each.record.due_at)[:most]
        held: list[HeldMessage] = []
        for each in looked_at:
            if is_full(each.body for each in held):
                break
            before = list(self._before(each))
            if not before:
                held.append(self._hold(each, token, lease))
                continue
            blocked = any(earlier.record.dead_at is not None for earlier in before)
            self._put(each, None, after=BLOCKED_FOR if blocked else PASSED_OVER_FOR)
        return held, len(looked_at) == most or is_full(each.body for each in held)

    async def take(self, shard: int, saga_ids: Sequence[UUID], *, token: UUID, lease: timedelta) -> list[HeldMessage]:
        """Take the first message of each of these sagas, if no other process holds it, and it waits for nothing."""
        now = time_of(self._store.now())
        held: list[HeldMessage] = []
        for saga_id in saga_ids:
            first = next((each for each in self._messages.get(saga_id, ()) if each.record.blocks), None)
            if first is None or first.record.dead_at is not None:
                continue
            if is_full(each.body for each in held):
                break
            untried = first.token is None and first.record.attempts == 0
            if untried or first.token == token or first.record.due_at <= now:
                held.append(self._hold(first, token, lease))
        return held

    async def confirm(self, shard: int, places: Sequence[Place]) -> None:
        """Delete messages that are published."""
        self._remove(set(places))

    async def fail(self, shard: int, failed: Sequence[FailedMessage], *, token: UUID, blocks: bool) -> None:
        """Record failed attempts of messages that are held under the token."""
        now = time_of(self._store.now())
        for each in failed:
            found = self._find((each.saga_id, each.rev, each.n))
            if found is None or found.token != token:
                continue
            record = found.record
            found.token = None
            found.record = _with(
                record,
                attempts=record.attempts + 1,
                error=each.error,
                due_at=now + each.delay,
                dead_at=now if each.is_dead else None,
                blocks=blocks or not each.is_dead,
                is_held=False,
            )

    async def release(self, shard: int, saga_ids: Sequence[UUID], *, token: UUID) -> None:
        """Leave the messages of these sagas to others that are held under the token."""
        for saga_id in saga_ids:
            for each in self._messages.get(saga_id, ()):
                if each.token == token:
                    self._put(each, None, after=timedelta(0))

    async def of_saga(self, saga_id: UUID, *, most: int) -> list[OutgoingRecord]:
        """The first messages of the saga, in their order."""
        return [each.record for each in self._messages.get(saga_id, ())][:most]

    async def places(self, saga_id: UUID, *, dead: bool, after: tuple[int, int], most: int) -> list[tuple[int, int]]:
        """Where the first messages of the saga stand behind that place, in their order; with `dead` those that are dead."""
        records = [each.record for each in self._messages.get(saga_id, ())]
        found = [(each.rev, each.n) for each in records if each.dead_at is not None or not dead]
        return [place for place in found if place > after][:most]

    async def dead(self, *, most: int) -> list[OutgoingRecord]:
        """Dead messages, those that died first at the front."""
        dead = [each.record for each in self._all() if each.record.dead_at is not None]
        return sorted(dead, key=lambda each: (each.dead_at or each.created_at, each.saga_id))[:most]

    async def redrive(self, saga_id: UUID, places: Sequence[tuple[int, int]]) -> int:
        """Try these messages of a saga again, if they are dead; gives how many are."""
        dead = list(self._dead(saga_id, places))
        now = time_of(self._store.now())
        for each in dead:
            each.record = _with(each.record, dead_at=None, blocks=True, attempts=0, due_at=now)
        self._wake(saga_id)
        return len(dead)

    async def discard(self, saga_id: UUID, places: Sequence[tuple[int, int]], *, waiting: bool = False) -> int:
        """Delete these messages of a saga, if they are dead, or, with `waiting`, held by no process; gives how many were."""
        now = time_of(self._store.now())
        given = {each.place: each for each in self._dead(saga_id, places)}
        for rev, n in places if waiting else ():
            found = self._find((saga_id, rev, n))
            if found is not None and (found.token is None or found.record.due_at <= now):
                given[found.place] = found
        self._remove(set(given))
        self._wake(saga_id)
        return len(given)

    async def counts(self) -> OutgoingCounts:
        """How many there are."""
        waiting = [each.record for each in self._all() if each.record.dead_at is None]
        dead = sum(each.record.dead_at is not None for each in self._all())
        oldest = min((each.created_at for each in waiting), default=None)
        return OutgoingCounts(min(len(waiting), MOST_COUNTED), oldest, min(dead, MOST_COUNTED))

    def _all(self) -> Iterator[_Message]:
        for messages in self._messages.values():
            yield from messages

    def _due(self) -> Iterator[_Message]:
        now = time_of(self._store.now())
        return (each for each in self._all() if each.record.dead_at is None and each.record.due_at <= now)

    def _before(self, message: _Message) -> Iterator[_Message]:
        return (
            each for each in self._messages[message.record.saga_id] if each.place < message.place and each.record.blocks
        )

    def _find(self, place: Place) -> _Message | None:
        return next((each for each in self._messages.get(place[0], ()) if each.place == place), None)

    def _dead(self, saga_id: UUID, places: Sequence[tuple[int, int]]) -> Iterator[_Message]:
        for rev, n in places:
            found = self._find((saga_id, rev, n))
            if found is not None and found.record.dead_at is not None:
                yield found

    def _remove(self, places: set[Place]) -> None:
        for saga_id in {place[0] for place in places}:
            left = [each for each in self._messages.get(saga_id, ()) if each.place not in places]
            self._messages[saga_id] = left

    def _wake(self, saga_id: UUID) -> None:
        for each in self._messages.get(saga_id, ()):
            if each.record.dead_at is None and each.token is None and each.record.attempts == 0:
                self._put(each, None, after=timedelta(0))

    def _hold(self, message: _Message, token: UUID, lease: timedelta) -> HeldMessage:
        self._put(message, token, after=lease)
        record, saga = message.record, self._saga(message.record.saga_id)
        return HeldMessage(
            record.saga_id,
            record.rev,
            record.n,
            record.topic,
            record.key,
            record.headers,
            record.body,
            record.attempts,
            record.created_at,
            saga.name,
            saga.version,
        )

    def _put(self, message: _Message, token: UUID | None, *, after: timedelta) -> None:
        message.token = token
        due_at = time_of(self._store.now()) + after
        message.record = _with(message.record, due_at=due_at, is_held=token is not None)

    def _shard(self, saga_id: UUID) -> int:
        return shard_of(saga_id, self._store.shards)


def _with(record: OutgoingRecord, **changed: object) -> OutgoingRecord:
    return msgspec.structs.replace(record, **changed)
