"""Publishes what waits in the lanes, one call at a time for each, and settles what becomes of every message.

A publisher that fails costs its own topics alone. Another process may take a message when its lease is over, so that no call
begins that could last longer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Final, final
from uuid import UUID

from saga_fn import steady
from saga_fn.codec.message import headers_in
from saga_fn.definition.outgoing import shown_topic
from saga_fn.engine.hold.lane import Lane, Line
from saga_fn.engine.hold.relay_deletion import Deletions
from saga_fn.engine.hold.relay_lines import Lines
from saga_fn.engine.hold.relay_retry import RetryOfMessages
from saga_fn.engine.hold.relay_store import RelayStore
from saga_fn.engine.hold.relay_sweep import Sweep
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_outgoing import MessageDied, MessagesTried, PublisherFailed, PublisherRecovered
from saga_fn.engine.topics import Topics
from saga_fn.outgoing import (
    FailedForNow,
    OutgoingMessage,
    OutgoingOptions,
    Published,
    PublishOutcome,
    RefusedForGood,
    message_id,
)
from saga_fn.store.records import FailedMessage, HeldMessage, Place
from saga_fn.tasks import Errands

_STOPPING: Final = 2.0
"""Seconds that a stop gives to what is on its way to a broker."""
_CUT: Final = 0.25
"""Seconds that a publisher may take to end once it is cut short."""


@final
class Publishing:
    """The work on the lanes of one process: a task for each lane in which messages wait."""

    def __init__(
        self,
        lines: Lines,
        rows: RelayStore,
        sweep: Sweep,
        topics: Topics,
        options: OutgoingOptions,
        observers: Observers,
    ) -> None:
        self._lines = lines
        self._rows = rows
        self._sweep = sweep
        self._topics = topics
        self._retry = RetryOfMessages(options)
        self._timeout = options.timeout.total_seconds()
        self._skips_dead = options.on_dead == "skip"
        self._observers = observers
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with nothing to do, in the event loop that comes next."""
        self.errands: Errands = Errands()
        """The tasks that publish and delete."""
        self._deletions: dict[Lane, Deletions] = {}
        self._ending = asyncio.Event()
        self._stopping = False

    async def stop(self) -> None:
        """Publish what is on its way, for a moment, and begin nothing more."""
        self._ending.set()
        for deletions in self._deletions.values():
            deletions.hurry()
        give_up = steady.now() + _STOPPING
        while self.errands.running and (left := give_up - steady.now()) > 0:
            await self.errands.wait(left)
        self._stopping = True
        await self.errands.stop(_CUT)

    def stopped(self) -> None:
        """Nothing waits any more: what comes now is published again."""
        self._stopping = False
        self._ending.clear()
        self._deletions.clear()

    # The lanes.

    def hold(self, held: Iterable[HeldMessage], sent: float) -> None:
        """Publish messages that the store has given: each is the first of its saga, which may have more.

        `sent` is the monotonic time when they were asked for: the store may have counted their lease from then on.
        """
        for line in self._lines.taken(held, sent + self._topics.lease.total_seconds()):
            self.put(line)

    def put(self, line: Line) -> None:
        """The first message of the line is to be published now."""
        line.lane.waiting.append(line)
        self.work(line.lane)

    def work(self, lane: Lane) -> None:
        """Go on with what waits in the lane, if no task does."""
        self._delete(lane)
        if not lane.working and lane.waiting:
            lane.working = True
            self.errands.add(self._work_off(lane))

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
                self._lines.drop(line)  # the process that takes it next begins with the first of them
                self._sweep.leave_behind(line.saga_id)
            else:
                lines.append(line)
        return lines

    def _begin_by(self, line: Line) -> float:
        """The monotonic time until which a call for its first message may begin, to be over before another process may take it."""
        return line.until - self._timeout

    # One call, and what becomes of its messages.

    async def _publish(self, lane: Lane, lines: Sequence[Line]) -> None:
        outcomes: Sequence[PublishOutcome | None] = []
        try:
            outcomes = await lane.publish(
                [_message(line.messages[0]) for line in lines], [self._begin_by(line) for line in lines]
            )
        finally:
            if not outcomes:  # other code has cancelled it, or the program ends: they may have been published
                for line in lines:
                    self._lines.drop(line)
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
                    if line.closed:  # deleted first: the next look may meet later messages of the saga, as its first
                        followed.append((line, place))
                    else:
                        deletions.add(line, place)
                    self._advance(line)
                case RefusedForGood() | FailedForNow():
                    failed.append(self._judged(message, outcome))
                    self._lines.drop(line)
                    dropped.append(line)
        self._count(lane, outcomes)
        self._tell_change(lane, outcomes)
        self._delete(lane)
        if followed or dropped:
            emptied = await self._deleted(followed)
            await self._rows.fail(failed)
            await self._go_past(emptied, failed, dropped)

    def _advance(self, line: Line) -> None:
        """The first message is published: go on to the next one."""
        line.advance()
        if line.messages:
            self.put(line)

    def _judged(self, message: HeldMessage, outcome: RefusedForGood | FailedForNow) -> FailedMessage:
        failed = self._retry.judge(message, outcome)
        if failed.is_dead:
            place = message_id(message.saga_id, message.rev, message.n)
            self._observers.tell(MessageDied(message.saga_id, shown_topic(message.topic), place, message.attempts + 1))
        else:
            self._sweep.wake_in(failed.delay.total_seconds() + 0.01)
        return failed

    def _deletions_of(self, lane: Lane) -> Deletions:
        """The messages of the lane that are published, and not deleted."""
        found = self._deletions.get(lane)
        if found is None:
            found = self._deletions[lane] = Deletions()
        return found

    def _delete(self, lane: Lane) -> None:
        """Delete what is published, if no task does."""
        deletions = self._deletions_of(lane)
        if deletions.waiting:
            deletions.task = self.errands.begin(self._delete_all(deletions))

    async def _delete_all(self, deletions: Deletions) -> None:
        while published := await deletions.together():
            await self._go_past(await self._deleted(published), (), ())

    async def _deleted(self, published: Sequence[tuple[Line, Place]]) -> list[Line]:
        """Delete these; gives the lines that are at an end."""
        try:
            await self._rows.confirm([place for _, place in published])
        finally:
            emptied = self._lines.settled(line for line, _ in published)
        return emptied

    async def _go_past(self, emptied: Sequence[Line], failed: Sequence[FailedMessage], dropped: Sequence[Line]) -> None:
        """Take the next messages of sagas whose first ones are out of the way; give back what is held of the others."""
        next_of = [line.saga_id for line in emptied if line.closed]
        if self._skips_dead:
            next_of += [message.saga_id for message in failed if message.is_dead]
        left = {line.saga_id for line in dropped if line.closed or len(line.messages) > 1}
        taken: set[UUID] = set()
        try:
            if next_of:  # nothing of these is given back meanwhile: that might come to the store after the taking
                taken = await self._rows.take(next_of, self.hold, self._sweep.leave_behind)
        except BaseException:  # cut short: this process may hold what it was taking
            left.update(next_of)
            raise
        finally:
            for saga_id in left - taken:
                self._sweep.leave_behind(saga_id)
        for line in emptied:
            if line.is_passed_by and line.saga_id not in taken:
                self._sweep.watch(line.saga_id)

    # Told.

    def _count(self, lane: Lane, outcomes: Sequence[PublishOutcome | None]) -> None:
        """Tell how many were published, and how many were not."""
        if self._observers.listens:
            published = sum(isinstance(each, Published) for each in outcomes)
            failed = sum(isinstance(each, RefusedForGood | FailedForNow) for each in outcomes)
            self._observers.tell(MessagesTried(lane.name, published, failed))

    def _tell_change(self, lane: Lane, outcomes: Sequence[PublishOutcome | None]) -> None:
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
