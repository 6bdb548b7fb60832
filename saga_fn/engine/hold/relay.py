"""The relay: gives outgoing messages to their publishers, after the commits that wrote them.

The process that commits publishes: its messages are handed over here in memory, and nothing is looked for. The sweep finds
what this process does not come to, and what a dead one has left; it takes the first message of a saga and no other.
A publisher that fails costs its own topics alone, and memory has a bound: what has no room is left to the sweep.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, Protocol, TypeVar, final
from uuid import UUID

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.codec.message import headers_in
from saga_fn.core.ids import Micros
from saga_fn.core.retry import RetrySchedule
from saga_fn.definition.outgoing import shown_topic
from saga_fn.engine.hold.at_once import AtOnce
from saga_fn.engine.hold.lane import Lane, Line, wish_of
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_process import (
    MessageDied,
    MessagesTried,
    PublisherFailed,
    PublisherRecovered,
    RelayHeldUp,
)
from saga_fn.engine.topics import AnyPublisher, Topics
from saga_fn.engine.upkeep import Upkeep
from saga_fn.errors import StoreError, StoreUnavailableError, shown
from saga_fn.outgoing import (
    FailedForNow,
    OutgoingMessage,
    OutgoingOptions,
    Published,
    PublishOutcome,
    RefusedForGood,
    message_id,
)
from saga_fn.store.errors import RowRejectedError
from saga_fn.store.ids import new_uuid, shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import FailedMessage, HeldMessage, OutgoingRow, Place, is_full, time_of
from saga_fn.tasks import Errands

_POLL: Final = 2.0
"""Seconds between two looks for messages that other processes have left; nothing that goes well waits for one."""
_SELDOM: float = 60.0
"""Seconds between two looks of a process with no publisher and no hook: verbs of a process that does not know a definition write
calls for all hooks that it might have, and only who knows it can let those go."""
_SOON: Final = 0.25
"""Seconds until a saga is looked at again whose earlier messages somebody else holds."""
_LOOKS: Final = 20
"""After so many such looks the saga is left to the sweep."""
_MOST_WATCHED: Final = 1000
_MOST_LEFT: Final = 10_000
"""The messages of so many sagas are given back for which there was no room; those of others when their lease is over."""
_AT_ONCE: Final = 200
"""One look of the sweep takes no more messages of a topic."""
_STOPPING: Final = 2.0
"""Seconds that a stop gives to what is on its way to a broker."""
_JITTER: Final = 0.2
T = TypeVar("T")


class HookCaller(Protocol):
    """Publishes the calls of hooks; made for the relay by a room above it."""

    def knows(self, topic: str) -> bool:
        """Whether a topic stands for a hook of a definition that this process has."""
        ...

    def publisher(self, topic: str) -> AnyPublisher:
        """The publisher of that topic."""
        ...


@final
class Relay:
    """The relay of one process."""

    def __init__(self, store: Store, topics: Topics, options: OutgoingOptions, observers: Observers) -> None:
        self._store = store
        self._topics = topics
        self._options = options
        self._observers = observers
        self._schedule = RetrySchedule(
            attempts=options.max_attempts,
            base=_micros(options.first_delay),
            multiplier=2.0,
            cap=_micros(options.longest_delay),
            jitter=_JITTER,
        )
        self._hooks: HookCaller | None = None
        self._has_hooks = self._has_definitions = False
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with nothing held, in whatever event loop comes next."""
        self.token: UUID = new_uuid()
        self._lanes: dict[str, Lane] = {}
        self._lines: dict[UUID, Line] = {}
        self._watched: dict[UUID, int] = {}
        """Sagas whose next message is taken as soon as it is the first: how often that was looked for."""
        self._left: dict[UUID, None] = {}
        """Sagas whose messages this process holds in the store, and not in memory."""
        self._errands = Errands()
        self._wake = asyncio.Event()
        self._next_look = 0.0
        self._at_once = AtOnce(_AT_ONCE)
        self._sweeping: Upkeep | None = None
        self._running = False
        self._ending = asyncio.Event()
        self._stopping = False
        self._topics.token = None
        self._topics.written = self.written

    # Life.

    @property
    def working(self) -> bool:
        """Whether it looks for messages all the time."""
        return self._sweeping is not None and self.wanted

    @property
    def lanes(self) -> list[Lane]:
        """The publishers that were given something."""
        return list(self._lanes.values())

    @property
    def wanted(self) -> bool:
        """Whether this process could publish anything."""
        return bool(self._topics.by_pattern) or self._has_hooks

    def call_hooks(self, caller: HookCaller) -> None:
        """Have hooks called by this."""
        self._hooks = caller

    def expect(self, *, hooks: bool) -> None:
        """A definition was registered, with hooks or without."""
        self._has_definitions = True
        self._has_hooks |= hooks
        self._start()
        if self.wanted:
            self._wake_in(0.0)

    def start(self) -> None:
        """The process is entered: what it commits is its own to publish."""
        self._running = True
        self._start()

    def _start(self) -> None:
        wanted = self.wanted or (self._has_definitions and self._topics.works)
        if self._running and wanted and self._sweeping is None:
            self._topics.token = self.token
            self._sweeping = Upkeep("publishes messages that were left", self._sweep, self._observers)
            self._sweeping.start()

    async def stop(self) -> None:
        """Publish what is on its way, for a moment; leave the rest to others."""
        self._running = False
        self._ending.set()
        sweeping, self._sweeping = self._sweeping, None
        self._topics.token = None
        if sweeping is not None:
            await sweeping.stop(0.5)
        await self._errands.wait(_STOPPING)
        self._stopping = True
        await self._errands.stop(_SOON)
        await self._release()
        await self._leave()
        self._stopping = False
        self._ending.clear()
        self._lanes.clear()
        self._lines.clear()
        self._watched.clear()
        self._left.clear()

    async def _leave(self) -> None:
        for lane in self._lanes.values():
            await lane.leave()

    async def _release(self) -> None:
        left = {*self._left, *self._lines, *self._watched}
        try:
            async with asyncio.timeout(_STOPPING):
                await self._give_back(left)
        except (StoreError, TimeoutError):  # then their leases run out
            return

    async def _give_back(self, left: Iterable[UUID]) -> None:
        """Leave the messages of these sagas to whoever has room for them."""
        for shard, saga_ids in self._by_shard(left).items():
            await self._store.outgoing.release(shard, saga_ids, token=self.token)

    async def _give_back_what_was_left(self) -> None:
        left, self._left = self._left, {}
        try:
            await self._give_back(saga_id for saga_id in left if saga_id not in self._lines)
        except (
            BaseException
        ):  # cut short, or the store does not answer: the next look does it, or the end of this process
            self._left = {**left, **self._left}
            raise

    def _leave_behind(self, saga_id: UUID) -> None:
        if len(self._left) < _MOST_LEFT:
            self._left[saga_id] = None

    # The messages that this process has committed.

    def written(self, saga_id: UUID, name: str, version: int, rows: Sequence[OutgoingRow], earlier: int) -> None:
        """Publish these messages, which have just become durable, in the saga's order.

        `earlier` is the revision of the first message that the saga had before; 0 if there is none. Where that one is not
        held here, nothing is published: whoever takes the first of the saga's messages goes on to these.
        """
        if self._sweeping is None or self._stopping:
            return
        line = self._lines.get(saga_id)
        if line is None:
            if earlier:
                self._watch(saga_id)
                return
            line = Line(saga_id, name, version)
        elif line.closed or (earlier and earlier < line.messages[0].rev):
            line.closed = True
            return
        was_empty = not line.messages
        at = time_of(self._store.now())
        for row in rows:
            lane = None if row.token is None else self._lane(row.topic)
            if lane is None or not lane.room:
                line.closed = True
                if lane is not None:
                    lane.has_more = True
                break
            message = HeldMessage(
                saga_id, row.rev, row.n, row.topic, row.key, row.headers, row.body, 0, at, name, version
            )
            line.add(message, steady.now() + row.lease.total_seconds())
            lane.add(message)
        if not line.messages:
            self._leave_behind(saga_id)
        elif was_empty:
            self._lines[saga_id] = line
            self._put(line)

    def _watch(self, saga_id: UUID) -> None:
        if len(self._watched) < _MOST_WATCHED:
            self._watched[saga_id] = 0
            self._wake_in(_SOON)
        else:
            self._leave_behind(saga_id)

    # Lanes.

    def _lane(self, topic: str) -> Lane | None:
        """The lane of a topic; None if this process has no publisher for it."""
        pattern = self._topics.pattern_of(topic)
        publisher = None if pattern is None else self._topics.by_pattern[pattern]
        if publisher is not None and pattern is not None:
            return self._lane_of(pattern, publisher, self._options.timeout.total_seconds())
        if self._hooks is None or not self._hooks.knows(topic):
            return None
        return self._lanes.get(topic) or self._lane_of(topic, self._hooks.publisher(topic), None)

    def _lane_of(self, pattern: str, publisher: AnyPublisher, timeout: float | None) -> Lane:
        """The lane of a publisher, whichever pattern names it."""
        found = self._lanes.get(pattern)
        if found is None:
            same = next((lane for lane in self._lanes.values() if lane.publisher is publisher), None)
            room, batch = self._options.waiting, self._options.batch
            found = same or Lane(pattern, publisher, timeout=timeout, room=room, batch=batch)
            self._lanes[pattern] = found
        return found

    async def publish(self, message: OutgoingMessage) -> PublishOutcome:
        """Publish a message now, beside what waits: for a hook whose turn it is."""
        lane = self._lane(message.topic)
        if lane is None:
            return FailedForNow(f"topic {shown(message.topic)} has no publisher in this process")
        (outcome,) = await lane.publish([message])
        return outcome or FailedForNow("its publisher fails")

    def _put(self, line: Line) -> None:
        """The first message of the line is to be published now."""
        lane = self._lane(line.messages[0].topic)
        assert lane is not None, "it was there when the message was added"
        lane.waiting.append(line)
        self._work(lane)

    def _work(self, lane: Lane) -> None:
        if not lane.working and lane.waiting:
            lane.working = True
            self._errands.add(self._work_off(lane))

    async def _work_off(self, lane: Lane) -> None:
        try:
            while lane.waiting and not self._stopping:
                lines = self._next_of(lane)
                if not lines:  # their leases are over, and the pause too: what is taken now is published at once
                    lane.has_more = True
                    break
                await self._publish(lane, lines)
                if lane.down and not await self._pause(lane):
                    return
            if lane.has_more:
                lane.has_more = False
                self._wake_in(0.0)
        finally:
            lane.working = False

    async def _pause(self, lane: Lane) -> bool:
        """Leave a publisher that fails in peace for a while; False if this process ends."""
        try:
            async with asyncio.timeout(lane.pause.next() * random.uniform(0.5, 1.0)):
                await self._ending.wait()
        except TimeoutError:
            return True
        return False

    def _next_of(self, lane: Lane) -> list[Line]:
        """The lines whose first messages are published by the next call; one at a time while the publisher fails."""
        lines: list[Line] = []
        # The call is over before another process may take what is published by it.
        over, most = steady.now() + self._options.timeout.total_seconds(), 1 if lane.down else lane.batch
        while lane.waiting and len(lines) < most:
            line = lane.waiting.popleft()
            if over >= line.until:
                self._drop(line)  # whoever takes it next begins with the first of them
                self._leave_behind(line.saga_id)
            else:
                lines.append(line)
        return lines

    async def _publish(self, lane: Lane, lines: Sequence[Line]) -> None:
        outcomes: Sequence[PublishOutcome | None] = []
        try:
            outcomes = await lane.publish([_message(line.messages[0]) for line in lines])
        finally:
            if not outcomes:  # other code has cancelled it, or the program ends: they may have been published
                for line in lines:
                    self._drop(line)
        confirmed: list[Place] = []
        failed: list[FailedMessage] = []
        behind: list[UUID] = []
        dropped: list[Line] = []
        for line, outcome in zip(lines, outcomes, strict=True):
            message = line.messages[0]
            match outcome:
                case None:
                    lane.waiting.append(line)
                case Published():
                    confirmed.append((message.saga_id, message.rev, message.n))
                    self._advance(line, behind)
                case RefusedForGood() | FailedForNow():
                    failed.append(self._judged(message, outcome))
                    self._drop(line)
                    dropped.append(line)
        self._count(lane, outcomes)
        self._note(lane, outcomes)
        await self._settle(confirmed, failed)
        for line in dropped:  # not before the failure is written, which only the holder may
            if line.closed or len(line.messages) > 1:
                self._leave_behind(line.saga_id)
        if self._options.on_dead == "skip":
            behind += [message.saga_id for message in failed if message.is_dead]
        if behind:
            await self._take(behind)

    def _advance(self, line: Line, behind: list[UUID]) -> None:
        """The first message is published: go on to the next one."""
        message = line.advance()
        lane = self._lane(message.topic)
        if lane is not None:
            lane.drop(message)
        if line.messages:
            self._put(line)
            return
        self._lines.pop(line.saga_id, None)
        if line.closed:
            behind.append(line.saga_id)

    def _drop(self, line: Line) -> None:
        """Leave the line to whoever takes its first message next."""
        for message in line.messages:
            lane = self._lane(message.topic)
            if lane is not None:
                lane.drop(message)
        self._lines.pop(line.saga_id, None)

    def _judged(self, message: HeldMessage, outcome: RefusedForGood | FailedForNow) -> FailedMessage:
        delay = None
        if isinstance(outcome, FailedForNow):
            delay = self._schedule.delay_after(message.attempts + 1, jitter_draw=random.random(), wish=wish_of(outcome))
        later = timedelta(0) if delay is None else timedelta(microseconds=delay)
        if delay is None:
            self._observers.tell(
                MessageDied(
                    message.saga_id,
                    shown_topic(message.topic),
                    message_id(message.saga_id, message.rev, message.n),
                    message.attempts + 1,
                )
            )
        else:
            self._wake_in(later.total_seconds() + 0.01)
        return FailedMessage(message.saga_id, message.rev, message.n, later, outcome.reason, delay is None)

    def _count(self, lane: Lane, outcomes: Sequence[PublishOutcome | None]) -> None:
        """Tell how many were published, and how many were not."""
        if self._observers.listens:
            published = sum(isinstance(each, Published) for each in outcomes)
            failed = sum(isinstance(each, RefusedForGood | FailedForNow) for each in outcomes)
            self._observers.tell(MessagesTried(lane.name, published, failed))

    def _note(self, lane: Lane, outcomes: Sequence[PublishOutcome | None]) -> None:
        """Say once that the publisher fails, and once that it works again."""
        if lane.is_told and not lane.down:
            lane.is_told = False
            self._observers.tell(PublisherRecovered(lane.name))
        reason = next((each.reason for each in outcomes if isinstance(each, FailedForNow)), None)
        if lane.down and not lane.is_told and reason is not None:
            lane.is_told = True
            self._observers.tell(PublisherFailed(lane.name, reason))

    # The store.

    async def _settle(self, confirmed: Sequence[Place], failed: Sequence[FailedMessage]) -> None:
        """Write what has become of messages; what cannot be written is tried again by whoever takes them next."""
        outgoing = self._store.outgoing
        for shard, places in self._by(confirmed, lambda place: place[0]).items():
            await self._until_written(partial(outgoing.confirm, shard, places))
        blocks = self._options.on_dead == "block"
        for shard, each in self._by(failed, lambda message: message.saga_id).items():
            await self._until_written(partial(outgoing.fail, shard, each, token=self.token, blocks=blocks))

    async def _until_written(self, write: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(0.05, 5.0)
        while True:
            try:
                await write()
            except RowRejectedError as error:
                self._observers.tell(RelayHeldUp(error))
                return
            except StoreError as error:
                self._observers.tell(RelayHeldUp(error))
                await backoff.pause()
            else:
                return

    async def _take(self, saga_ids: Iterable[UUID]) -> set[UUID]:
        """Take the next message of each of these sagas, if it can be; gives those of which one was."""
        taken: set[UUID] = set()
        outgoing = self._store.outgoing
        try:
            for shard, each in self._by_shard(saga_ids).items():
                while each:
                    some, each = each[: self._at_once.now], each[self._at_once.now :]  # noqa: PLW2901 - what is left of it
                    held = await self._in_time(
                        len(some), outgoing.take(shard, some, token=self.token, lease=self._topics.lease)
                    )
                    taken.update(message.saga_id for message in held)
                    if is_full(message.body for message in held):
                        each += [saga_id for saga_id in some if saga_id not in taken]
                    self._hold(held)
        except StoreError as error:  # the sweep finds them
            self._observers.tell(RelayHeldUp(error, is_taking=True))
        return taken

    async def _in_time(self, asked: int, taking: Awaitable[T]) -> T:
        """Take so many messages at once; fewer from then on if they do not come within a statement's time."""
        try:
            taken = await taking
        except StoreUnavailableError:
            self._at_once.were_too_many(asked)
            raise
        self._at_once.came_in_time()
        return taken

    def _hold(self, held: Iterable[HeldMessage]) -> None:
        """Publish messages that were taken: each is the first of its saga, which may have more."""
        until = steady.now() + self._topics.lease.total_seconds()
        for message in held:
            known = self._lines.get(message.saga_id)
            if known is not None:
                known.closed = True
                first = known.messages[0]
                if (first.rev, first.n) == (message.rev, message.n):  # its lease had run out while it waited here
                    known.renew(until)
                continue
            lane = self._lane(message.topic)
            if lane is None or not lane.room:
                self._leave_behind(message.saga_id)
                continue
            line = Line(message.saga_id, message.saga_name, message.version, closed=True)
            line.add(message, until)
            lane.add(message)
            self._lines[message.saga_id] = line
            self._put(line)

    # The sweep.

    async def _sweep(self) -> None:
        while True:
            self._wake.clear()
            self._next_look = steady.now() + (_POLL if self.wanted else _SELDOM) * random.uniform(0.8, 1.2)
            if not self.wanted:
                await self._rest()
            try:
                await self._look_at_watched()
                await self._give_back_what_was_left()
                await self._look()
            except StoreError as error:
                self._observers.tell(RelayHeldUp(error, is_taking=True))
            for lane in self._lanes.values():  # other code may have cancelled its task
                self._work(lane)
            await self._rest()

    async def _rest(self) -> None:
        while (left := self._next_look - steady.now()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
                self._wake.clear()
            except TimeoutError:
                return

    def look_soon(self) -> None:
        """Look now for what was left: an operator has decided on a message, or a caller has committed a start with a hook."""
        self._wake_in(0.0)

    def _wake_in(self, seconds: float) -> None:
        """Look no later than that."""
        at = steady.now() + seconds
        if at < self._next_look:
            self._next_look = at
            self._wake.set()

    async def _look(self) -> int:
        """Take what was left, topic by topic, as much as there is room for; gives how many were taken."""
        taken, outgoing = 0, self._store.outgoing
        for shard, topic in await outgoing.due_topics():
            lane = self._lane(topic)
            while lane is not None and lane.room and not (lane.down and lane.waiting):
                # The leases of others would end before the turn of a publisher that fails comes.
                most = 1 if lane.down else min(self._at_once.now, lane.room)
                held, more = await self._in_time(
                    most, outgoing.claim(shard, topic, token=self.token, lease=self._topics.lease, most=most)
                )
                taken += len(held)
                self._hold(held)
                if not more:
                    break
            if lane is not None and (lane.down or not lane.room):
                lane.has_more = True
        return taken

    async def _look_at_watched(self) -> None:
        if not self._watched:
            return
        taken = await self._take(list(self._watched))
        for saga_id, looks in list(self._watched.items()):
            if saga_id in taken or saga_id in self._lines:
                self._watched.pop(saga_id, None)
            elif looks >= _LOOKS:
                self._watched.pop(saga_id, None)
                self._leave_behind(saga_id)
            else:
                self._watched[saga_id] = looks + 1
        if self._watched:
            self._wake_in(_SOON)

    async def work_off(self) -> bool:
        """Publish what is due now, and wait until that is done; for whoever works without being entered. Whether there was any.

        A message that fails meanwhile is tried again when it is due.
        """
        if not self.wanted:
            return False
        if self._sweeping is not None:
            self._wake_in(0.0)
        worked = False
        while await self._look() or self._errands.running:
            worked = True
            await self._errands.wait()
        if self._sweeping is None:
            await self._leave()
        return worked

    # By shard.

    def _by_shard(self, saga_ids: Iterable[UUID]) -> dict[int, list[UUID]]:
        return self._by(saga_ids, lambda saga_id: saga_id)

    def _by(self, things: Iterable[T], saga_of: Callable[[T], UUID]) -> dict[int, list[T]]:
        found: dict[int, list[T]] = {}
        for each in things:
            found.setdefault(shard_of(saga_of(each), self._store.shards), []).append(each)
        return found


def _message(held: HeldMessage) -> OutgoingMessage:
    return OutgoingMessage(
        id=message_id(held.saga_id, held.rev, held.n),
        topic=held.topic,
        key=held.key,
        headers=headers_in(held.headers),
        body=held.body,
        saga_id=held.saga_id,
        saga_name=held.saga_name,
        created_at=held.created_at,
        attempt=held.attempts + 1,
    )


def _micros(length: timedelta) -> Micros:
    return Micros(length // timedelta(microseconds=1))
