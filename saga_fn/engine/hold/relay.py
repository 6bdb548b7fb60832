"""The relay: gives outgoing messages to their publishers, after the commits that wrote them.

The process that commits publishes: its messages are handed over here in memory, and nothing is looked for. The sweep finds
what this process does not come to, and what a dead one has left; it takes the first message of a saga and no other.
A publisher that fails costs its own topics alone, and memory has a bound: what has no room is left to the sweep.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final, final
from uuid import UUID

from saga_fn import steady
from saga_fn.codec.message import headers_in
from saga_fn.core.ids import Micros
from saga_fn.core.retry import RetrySchedule
from saga_fn.definition.outgoing import shown_topic
from saga_fn.engine.hold.lane import Lane, Line, wish_of
from saga_fn.engine.hold.lanes import HookCaller, Lanes
from saga_fn.engine.hold.relay_deletion import Deletions, LastDeleted
from saga_fn.engine.hold.relay_store import RelayStore
from saga_fn.engine.hold.relay_sweep import Sweep
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_process import MessageDied, MessagesTried, PublisherFailed, PublisherRecovered
from saga_fn.engine.topics import Topics
from saga_fn.errors import StoreError
from saga_fn.outgoing import (
    FailedForNow,
    OutgoingMessage,
    OutgoingOptions,
    Published,
    PublishOutcome,
    RefusedForGood,
    message_id,
)
from saga_fn.store.protocol import Store
from saga_fn.store.records import FailedMessage, HeldMessage, OutgoingRow, Place, time_of
from saga_fn.tasks import Errands

_STOPPING: Final = 2.0
"""Seconds that a stop gives to what is on its way to a broker."""
_CUT: Final = 0.25
"""Seconds that a publisher may take to end once it is cut short."""
_JITTER: Final = 0.2


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
        self._timeout = options.timeout.total_seconds()
        self._lanes: Lanes = Lanes(topics, options)
        self._rows: RelayStore = RelayStore(store, topics, options, observers)
        self._sweep: Sweep = Sweep(self._rows, self._lanes, self, observers)
        self._has_hooks = self._has_definitions = False
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with nothing held, in whatever event loop comes next."""
        self._lanes.begin_life()
        self._rows.begin_life()
        self._sweep.begin_life()
        self._lines: dict[UUID, Line] = {}
        self._deletions: dict[Lane, Deletions] = {}
        self._last_deleted = LastDeleted()
        self._errands = Errands()
        self._running = False
        self._ending = asyncio.Event()
        self._stopping = False
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
        self._ending.set()
        self._topics.token = None
        await self._sweep.stop()
        for deletions in self._deletions.values():
            deletions.hurry()
        give_up = steady.now() + _STOPPING
        while self._errands.running and (left := give_up - steady.now()) > 0:
            await self._errands.wait(left)
        self._stopping = True
        await self._errands.stop(_CUT)
        await self._give_back()
        await self._lanes.leave()
        self._stopping = False
        self._ending.clear()
        self._lanes.begin_life()
        self._deletions.clear()
        self._last_deleted.forget()
        self._lines.clear()

    async def _give_back(self) -> None:
        left = {*self._lines, *self._sweep.forget()}
        try:
            async with asyncio.timeout(_STOPPING):
                await self._rows.give_back(left)
        except (StoreError, TimeoutError):  # then their leases run out
            return

    # The messages that this process has committed.

    def written(self, saga_id: UUID, name: str, version: int, rows: Sequence[OutgoingRow], earlier: int) -> None:
        """Publish these messages, which have just become durable, in the saga's order.

        `earlier` is the revision of the last message that the saga had before; 0 if there is none. Where that one is not
        the last that is held here, or that was deleted here, nothing is published: whoever takes the first of the saga's messages
        goes on to these.
        """
        if not self._sweep.running or self._stopping:
            return
        line = self._lines.get(saga_id)
        if line is None:
            if earlier and not self._last_deleted.was(saga_id, earlier):
                self._sweep.watch(saga_id)
                return
            line = Line(saga_id, name, version)
        elif line.closed or (earlier and earlier != line.last):
            line.is_passed_by |= not line.closed
            line.closed = True
            return
        was_empty = not line.messages
        at = time_of(self._store.now())
        for row in rows:
            lane = None if row.token is None else self._lanes.of(row.topic)
            if lane is None or not lane.room:
                line.closed = True
                if lane is not None:
                    lane.has_more = True
                break
            message = HeldMessage(
                saga_id, row.rev, row.n, row.topic, row.key, row.headers, row.body, 0, at, name, version
            )
            line.add(message, lane, row.made + row.lease.total_seconds())
        if not line.messages:
            self._sweep.leave_behind(saga_id)
        elif was_empty:
            self._lines[saga_id] = line
            self._put(line)

    # The messages that this process has taken.

    def holds(self, saga_id: UUID) -> bool:
        """Whether messages of the saga wait in memory."""
        return saga_id in self._lines

    def hold(self, held: Iterable[HeldMessage], sent: float) -> None:
        """Publish messages that were taken: each is the first of its saga, which may have more.

        `sent` is the monotonic time when they were asked for: the store may have counted their lease from then on.
        """
        until = sent + self._topics.lease.total_seconds()
        for message in held:
            known = self._lines.get(message.saga_id)
            if known is not None:
                known.closed = True
                first = known.messages[0] if known.messages else None
                # Its lease had run out while it waited here.
                if first is not None and (first.rev, first.n) == (message.rev, message.n):
                    known.renew(until)
                continue
            lane = self._lanes.of(message.topic)
            if lane is None or not lane.room:
                self._sweep.leave_behind(message.saga_id)
                continue
            line = Line(message.saga_id, message.saga_name, message.version, closed=True)
            line.add(message, lane, until)
            self._lines[message.saga_id] = line
            self._put(line)

    # Publishing.

    async def publish(self, message: OutgoingMessage) -> PublishOutcome:
        """Publish a message now, beside what waits: for a hook whose turn it is."""
        return await self._lanes.publish(message)

    def _put(self, line: Line) -> None:
        """The first message of the line is to be published now."""
        line.lane.waiting.append(line)
        self.work(line.lane)

    def work(self, lane: Lane) -> None:
        """Go on with what waits in the lane, if nobody does."""
        self._delete(lane)
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
                await self._until_few_are_left(lane)
                if lane.down and not await self._pause(lane):
                    return
            if lane.has_more:
                lane.has_more = False
                self._sweep.wake_in(0.0)
        finally:
            lane.working = False

    async def _until_few_are_left(self, lane: Lane) -> None:
        """Publish no more than can be deleted: all that is not is published once more after a crash."""
        deletions = self._deletions_of(lane)
        while deletions.full:
            self._delete(lane)
            assert deletions.task is not None, "there is something to delete"
            await asyncio.wait((deletions.task,))

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
        now, most = steady.now(), 1 if lane.down else lane.batch
        while lane.waiting and len(lines) < most:
            line = lane.waiting.popleft()
            if now >= self._begin_by(line):
                self._drop(line)  # whoever takes it next begins with the first of them
                self._sweep.leave_behind(line.saga_id)
            else:
                lines.append(line)
        return lines

    def _begin_by(self, line: Line) -> float:
        """The monotonic time until which a call for its first message may begin, to be over before another process may take it."""
        return line.until - self._timeout

    async def _publish(self, lane: Lane, lines: Sequence[Line]) -> None:
        outcomes: Sequence[PublishOutcome | None] = []
        try:
            outcomes = await lane.publish(
                [_message(line.messages[0]) for line in lines], [self._begin_by(line) for line in lines]
            )
        finally:
            if not outcomes:  # other code has cancelled it, or the program ends: they may have been published
                for line in lines:
                    self._drop(line)
        failed: list[FailedMessage] = []
        dropped: list[Line] = []
        followed: list[tuple[Line, Place]] = []
        deletions = self._deletions_of(lane)
        for line, outcome in zip(lines, outcomes, strict=True):
            message = line.messages[0]
            match outcome:
                case None:
                    lane.waiting.append(line)
                case Published():
                    place = message.saga_id, message.rev, message.n
                    if (
                        line.closed
                    ):  # the next look may meet later messages of the saga: they are to be the first by then
                        followed.append((line, place))
                    else:
                        deletions.add(line, place)
                    self._advance(line)
                case RefusedForGood() | FailedForNow():
                    failed.append(self._judged(message, outcome))
                    self._drop(line)
                    dropped.append(line)
        self._count(lane, outcomes)
        self._note(lane, outcomes)
        self._delete(lane)
        if followed or dropped:
            emptied = await self._deleted(followed)
            await self._rows.fail(failed)
            await self._go_past(emptied, failed, dropped)

    def _deletions_of(self, lane: Lane) -> Deletions:
        """The messages of the lane that are published, and not deleted."""
        found = self._deletions.get(lane)
        if found is None:
            found = self._deletions[lane] = Deletions()
        return found

    def _delete(self, lane: Lane) -> None:
        """Delete what is published, if nobody does."""
        deletions = self._deletions_of(lane)
        if deletions.waiting:
            deletions.task = self._errands.begin(self._delete_all(deletions))

    async def _delete_all(self, deletions: Deletions) -> None:
        while published := await deletions.together():
            await self._go_past(await self._deleted(published), (), ())

    async def _deleted(self, published: Sequence[tuple[Line, Place]]) -> list[Line]:
        """Delete these; gives the lines that are at an end."""
        try:
            await self._rows.confirm([place for _, place in published])
        finally:
            emptied = self._settled([line for line, _ in published])
        return emptied

    async def _go_past(self, emptied: Sequence[Line], failed: Sequence[FailedMessage], dropped: Sequence[Line]) -> None:
        """Take the next messages of sagas whose first ones are out of the way; give back what is held of the others."""
        next_of = [line.saga_id for line in emptied if line.closed]
        if self._options.on_dead == "skip":
            next_of += [message.saga_id for message in failed if message.is_dead]
        left = {line.saga_id for line in dropped if line.closed or len(line.messages) > 1}
        taken: set[UUID] = set()
        try:
            if next_of:  # nothing of these is given back meanwhile: that might come to the store after the taking
                taken = await self._rows.take(next_of, self.hold)
        except BaseException:  # cut short: this process may hold what it was taking
            left.update(next_of)
            raise
        finally:
            for saga_id in left - taken:
                self._sweep.leave_behind(saga_id)
        for line in emptied:
            if line.is_passed_by and line.saga_id not in taken:
                self._sweep.watch(line.saga_id)

    def _advance(self, line: Line) -> None:
        """The first message is published: go on to the next one."""
        line.advance()
        if line.messages:
            self._put(line)

    def _settled(self, lines: Sequence[Line]) -> list[Line]:
        """One message more of each of these lines is gone from the store; gives the lines that are at an end.

        Before, what the saga writes next comes behind a message that this process has published: it is no other's.
        """
        emptied: list[Line] = []
        for line in lines:
            line.unsettled -= 1
            if not line.messages and not line.unsettled and self._lines.get(line.saga_id) is line:
                del self._lines[line.saga_id]
                emptied.append(line)
                if not line.closed:
                    self._last_deleted.add(line)
        return emptied

    def _drop(self, line: Line) -> None:
        """Leave the line to whoever takes its first message next."""
        line.drop()
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
            self._sweep.wake_in(later.total_seconds() + 0.01)
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
        if not lane.down or lane.is_told:
            return
        reason = next((each.reason for each in outcomes if isinstance(each, FailedForNow)), None)
        if reason is not None:
            lane.is_told = True
            self._observers.tell(PublisherFailed(lane.name, reason, lane.error))

    # The sweep.

    def look_soon(self) -> None:
        """Look now for what was left: an operator has decided on a message, or a caller has committed a start with a hook."""
        self._sweep.wake_in(0.0)

    async def work_off(self) -> bool:
        """Publish what is due now, and wait until that is done; for whoever works without being entered. Whether there was any.

        A message that fails meanwhile is tried again when it is due.
        """
        if not self.wanted:
            return False
        if self._sweep.running:
            self._sweep.wake_in(0.0)
        worked = False
        while await self._sweep.look() or self._errands.running:
            worked = True
            await self._errands.wait()
        if not self._sweep.running:
            await self._lanes.leave()
        return worked


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
