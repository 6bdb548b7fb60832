"""One publisher of this process: what waits for it, and each call of it, under a time limit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final, final
from uuid import UUID

import msgspec
from typing_extensions import TypeIs

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.codec.containers import is_sequence
from saga_fn.definition.outgoing import shown_topic
from saga_fn.engine.drive.step_error import program_end
from saga_fn.engine.topics import ONE_EACH, AnyPublisher
from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, Publisher, PublishOutcome, RefusedForGood
from saga_fn.printable import message_of, name_of_type
from saga_fn.store.records import HeldMessage
from saga_fn.tasks import cancellations

MOST_BYTES: Final = 16 * 2**20
"""Nor do more bytes wait in memory for one publisher."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
_CLEAN_UP: Final = 2.0
"""Seconds that a publisher may take to be left."""
LONGEST_REASON: Final = 500
"""Characters of what is stored of a reason."""
_TO_END: Final = 2.0
"""Seconds that a publisher may take to end once its call is cut short; then this is told."""
_PUBLISHED: Final = Published()
_PROBES: Final = 2
"""If a call for many has failed, so many are tried alone: if all of these fail, the publisher is what has failed."""


class Line(msgspec.Struct, eq=False):
    """The messages of one saga that this process holds, in their order; no other is published before the first of them."""

    saga_id: UUID
    name: str
    version: int
    messages: deque[HeldMessage] = msgspec.field(default_factory=deque)
    closed: bool = False
    """Whether the saga has, or may have, later messages that are not here."""
    is_passed_by: bool = False
    """Whether this process has written later messages of the saga that are not here, behind those of another one."""
    last: int = 0
    """The revision of the last message that was added."""
    unsettled: int = 0
    """How many are published of which the store does not know it yet."""
    _leases: deque[float] = msgspec.field(default_factory=deque)
    """The monotonic time of each from which on another process may take it: each has the lease of the commit that wrote it."""
    _lanes: deque[Lane] = msgspec.field(default_factory=deque)
    """The lane of each."""

    @property
    def until(self) -> float:
        """The monotonic time from which on another process may take the first of them."""
        return self._leases[0]

    @property
    def lane(self) -> Lane:
        """The lane of the first of them."""
        return self._lanes[0]

    def add(self, message: HeldMessage, lane: Lane, until: float) -> None:
        """A message more, the last of them: it waits in that lane."""
        self.messages.append(message)
        self.last = message.rev
        self._leases.append(until)
        self._lanes.append(lane)
        lane.add(message)

    def renew(self, until: float) -> None:
        """The first of them was taken anew."""
        self._leases[0] = until

    def advance(self) -> None:
        """The first of them is published: it stands here no more, and waits no more."""
        self.unsettled += 1
        self._leases.popleft()
        self._lanes.popleft().drop(self.messages.popleft())

    def drop(self) -> None:
        """None of them waits any more."""
        for lane, message in zip(self._lanes, self.messages, strict=True):
            lane.drop(message)


@final
class Lane:
    """The messages that wait for one publisher. `pattern` is the key that it was given by."""

    def __init__(
        self,
        pattern: str,
        publisher: AnyPublisher,
        *,
        timeout: float,
        room: int,
        batch: int,
        bounds_its_own: bool = False,
    ) -> None:
        """`timeout`: how many seconds a call may take; with `bounds_its_own` the publisher sees to that itself."""
        self.name: str = shown_topic(pattern)
        """The pattern, or the name of the hook that it stands for."""
        self.publisher = publisher
        self.batch = batch
        self.waiting: deque[Line] = deque()
        """The lines whose first message is its to publish."""
        self.messages: int = 0
        self.working: bool = False
        self.down: bool = False
        """Whether the publisher has failed, and not worked since."""
        self.error: str | None = None
        """The type name of what it raised last; None if the last call has given outcomes."""
        self.is_told: bool = False
        """Whether the log says that it fails."""
        self.has_more: bool = False
        """Whether the store has messages for it that had no room."""
        self.pause: Backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self.is_hang_told: bool = False
        """Whether the log says that the present call does not end."""
        self._timeout = timeout
        self._limit = None if bounds_its_own else timeout
        self._began: float | None = None
        self._most = room
        self._bytes = 0
        self._entered: AbstractAsyncContextManager[object] | None = None
        self._calling = asyncio.Lock()

    @property
    def room(self) -> int:
        """How many messages more may wait for it in memory."""
        return 0 if self._bytes >= MOST_BYTES else max(0, self._most - self.messages)

    def add(self, message: HeldMessage) -> None:
        """A message more waits in memory."""
        self.messages += 1
        self._bytes += len(message.body)

    def drop(self, message: HeldMessage) -> None:
        """It waits no more."""
        self.messages -= 1
        self._bytes -= len(message.body)

    @property
    def hangs(self) -> bool:
        """Whether the present call goes on though it was cut short: nothing can end a task that swallows that."""
        return self._began is not None and steady.now() > self._began + self._timeout + _TO_END

    async def publish(
        self, messages: Sequence[OutgoingMessage], begin_by: Sequence[float]
    ) -> list[PublishOutcome | None]:
        """Publish them; None for one that was not tried, because the publisher is what has failed, or its time was over.

        A message for which the publisher raises costs the others of its call nothing: they are tried alone. `begin_by` has the
        monotonic time of each until which a call may begin: one that begins later may last longer than this process holds it.
        """
        async with self._calling:
            now = steady.now()
            covered = [place for place, by in enumerate(begin_by) if now < by]
            if not covered:
                return [None] * len(messages)
            outcomes = await self._publish(messages, begin_by, covered)
        if any(isinstance(each, Published | RefusedForGood) for each in outcomes):
            self.down = False
            self.pause.reset()
        else:
            self.down = True
        return outcomes

    async def _publish(
        self, messages: Sequence[OutgoingMessage], begin_by: Sequence[float], covered: Sequence[int]
    ) -> list[PublishOutcome | None]:
        """Publish those at the places that are covered."""
        outcomes: list[PublishOutcome | None] = [None] * len(messages)
        answer = await self._call([messages[place] for place in covered])
        if not isinstance(answer, FailedForNow):
            for place, outcome in zip(covered, answer, strict=True):
                outcomes[place] = outcome
            return outcomes
        if len(covered) == 1:
            outcomes[covered[0]] = answer
            return outcomes
        failures, works = 0, False
        for place in covered:
            if failures >= _PROBES and not works:
                break
            if steady.now() >= begin_by[place]:
                continue
            alone = await self._call([messages[place]])
            outcomes[place] = outcome = alone if isinstance(alone, FailedForNow) else alone[0]
            if isinstance(outcome, FailedForNow):
                failures += 1
            else:
                works = True
        return outcomes

    async def _call(self, messages: Sequence[OutgoingMessage]) -> Sequence[PublishOutcome] | FailedForNow:
        """The outcomes; FailedForNow if the call has failed as a whole."""
        asked, self.error = cancellations(), None
        self._began, self.is_hang_told = steady.now(), False
        try:
            async with asyncio.timeout(self._limit):
                await self._enter()
                # A list of its own: it may take out of it what it has published.
                found = _judged(await self._publish_now(list(messages)))
        except BaseException as error:  # whatever a publisher raises concerns its messages alone
            if isinstance(error, asyncio.CancelledError) and cancellations() > asked:
                raise
            ending = program_end(error)
            if ending is not None:
                raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear
            return self._failed(error)
        finally:
            self._began = None
        if len(found) != len(messages):
            told = f"it gave no outcome for each message: {len(found)} for {len(messages)}, in place of {ONE_EACH}"
            return self._failed(TypeError(told))
        return found

    def _publish_now(self, messages: Sequence[OutgoingMessage]) -> Awaitable[Sequence[PublishOutcome]]:
        publisher = self.publisher
        return publisher.publish(messages) if _has_method(publisher) else publisher(messages)

    def _failed(self, error: BaseException) -> FailedForNow:
        self.error = name_of_type(error)
        if isinstance(error, TimeoutError) and not error.args and self._limit is not None:
            return FailedForNow(f"TimeoutError: not published within {self._limit:g} s")
        return FailedForNow(message_of(f"{name_of_type(error)}: {message_of(error)}", LONGEST_REASON))

    async def _enter(self) -> None:
        publisher: object = self.publisher
        if self._entered is None and _is_to_be_entered(publisher):
            await publisher.__aenter__()
            self._entered = publisher

    async def leave(self) -> None:
        """Leave the publisher, if it was entered. If it raises, nothing more is asked of it."""
        entered, self._entered = self._entered, None
        if entered is None:
            return
        asked = cancellations()
        try:
            async with asyncio.timeout(_CLEAN_UP):
                await entered.__aexit__(None, None, None)
        except BaseException as error:  # nothing can be done about what a publisher raises here
            if isinstance(error, asyncio.CancelledError) and cancellations() > asked:
                raise
            ending = program_end(error)
            if ending is not None:
                raise ending  # noqa: B904 - it is the error itself, or in that group, which the event loop would not hear


def _has_method(publisher: AnyPublisher) -> TypeIs[Publisher]:
    return hasattr(publisher, "publish")


def _is_to_be_entered(publisher: object) -> TypeIs[AbstractAsyncContextManager[object]]:
    return isinstance(publisher, AbstractAsyncContextManager)


def _judged(outcomes: object) -> list[PublishOutcome]:
    """The outcomes among them, of which nothing is a publisher's own any more; raises whatever that does."""
    if not is_sequence(outcomes):
        return []
    found: list[PublishOutcome] = []
    for each in outcomes:
        if type(each) is Published:
            found.append(_PUBLISHED)
            continue
        match each:
            case Published():
                found.append(_PUBLISHED)
            case RefusedForGood(reason=reason):
                found.append(RefusedForGood(message_of(reason, LONGEST_REASON)))
            case FailedForNow(reason=reason, after=after):
                found.append(FailedForNow(message_of(reason, LONGEST_REASON), _plain(after)))
            case _:
                pass
    return found


def _plain(after: object) -> timedelta | None:
    if not isinstance(after, timedelta):  # a number, say: the growing delays will do, and the reason is to be read
        return None
    return timedelta(microseconds=max(0, after // timedelta(microseconds=1)))
