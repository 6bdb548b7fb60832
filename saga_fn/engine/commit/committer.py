"""Group commit: the way of every saga's next state into the store.

Each write is judged by itself. One that the database refuses, or that has lost its saga, costs no other in its batch
anything, and nothing is ever assumed of a commit whose answer was lost.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.engine.commit.answers import Answers
from saga_fn.engine.commit.batching import Batcher, by_halves
from saga_fn.engine.commit.outcome import Applied, Lost, Outcome, Refused, Unread, Unsettled
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_commits import (
    BatchCommitted,
    CommitsRecovered,
    CommitsRefused,
    CommitsWait,
    LateWriteRefused,
)
from saga_fn.engine.observe.of_troubles import WriteSetAside
from saga_fn.engine.topics import SOME_EARLIER
from saga_fn.errors import StoreError, StoreRefusedError, StoreUnavailableError
from saga_fn.store.errors import RowLockedError, RowRejectedError, StoreBusyError, is_an_answer
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import Committed, SagaWrite
from saga_fn.tasks import Errands

_LONGEST_PAUSE = 2.0
_LONGEST_PAUSE_IF_REFUSED = 10.0
_CALLER_WAITS = 10.0
"""Seconds that a caller waits for its write when the store does not answer."""
_SKIP_LOCKED_FOR = 10.0
"""Seconds that commits go past locked rows after one has met a locked row."""
_ALONE_FOR = 5.0
"""Seconds that a write which is sent alone, and is refused, keeps its place when nothing tells whether others are taken."""
_MOST_REFUSALS = 40
"""Refusals after which a write is given up. One counts four times if others were taken just before it: some 5 seconds then."""
_WITH_EVIDENCE = 4
_BUSY_TRIES = 6
"""Statements in a row that the server gave up for the sake of others; then something else is the matter."""
_CLEAN_UP = 0.5
"""Seconds that a look which is cut short may take to give back its connection."""


class _Pending:
    """A write on its way. A plain class: there is one for every step of every saga."""

    __slots__ = ("_tell", "id", "is_owned", "size", "write")

    def __init__(self, write: SagaWrite, tell: Callable[[Outcome], None], *, is_owned: bool) -> None:
        self.id = write.id
        self.is_owned = is_owned
        self.write = write
        self._tell: Callable[[Outcome], None] | None = tell
        size = 0
        for entry in write.entries:
            size += len(entry.payload or b"") + len(entry.input or b"")
        for row in write.outgoing:
            size += len(row.body) + len(row.headers or b"")
        self.size = size

    @property
    def settled(self) -> bool:
        """Whether the writer was told."""
        return self._tell is None

    def settle(self, outcome: Outcome) -> None:
        """Tell the writer, once."""
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(outcome)


class Committer:
    """Commits sagas' next states, many sagas per statement. At most `max_in_flight` commits are in flight."""

    def __init__(self, store: Store, observers: Observers, *, max_in_flight: int) -> None:
        self._store = store
        self._observers = observers
        self._batcher: Batcher[_Pending] = Batcher(self._send, max_in_flight=max_in_flight)
        self._looks = Errands()
        self._stopping = False
        self._skip_locked_until = 0.0
        """Until then (monotonic time) rows that another session keeps locked are passed over from the outset."""
        self._taken_at = float("-inf")
        """When (monotonic time) the store last took a commit."""
        self._aside: dict[UUID, tuple[float, StoreError]] = {}
        """The writes that are sent alone, beside the batches, by saga: since when, and why."""
        self.trouble: StoreError | None = None
        """Why commits are not taken at the moment, if they are not."""
        self.answers: Answers = Answers()
        """Told of the answers to messages that commits bring, when they are durable."""

    @property
    def stalled(self) -> bool:
        """Whether the store takes no commits at the moment: no new work shall be taken on."""
        return self.trouble is not None

    @property
    def problem(self) -> str | None:
        """The obstacle to commits, in words."""
        untold = (error for since, error in self._aside.values() if self._taken_at < since)  # it may be about all
        trouble = self.trouble or next(untold, None)
        if trouble is None:
            return None
        if is_an_answer(trouble):
            return f"commits are refused: {trouble.fact}"
        return "commits wait for the database"

    def hand_in(self, write: SagaWrite, settle: Callable[[Outcome], None]) -> None:
        """Write a saga's next state. `settle` is called when its fate is certain, however long the store is away."""
        if write.answers:
            settle = partial(self._settled, write, settle)
        self._batcher.add(shard_of(write.id, self._store.shards), _Pending(write, settle, is_owned=True))

    async def commit(self, write: SagaWrite) -> Outcome:
        """Write a saga's next state, and wait for its fate.

        Raises StoreRefusedError if the store refuses it for good, StoreUnavailableError if it does not answer for 10 seconds:
        then it may have been written, or may be yet.
        """
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not settled.done():
                settled.set_result(outcome)
            self._answered(write, outcome)

        self._batcher.add(shard_of(write.id, self._store.shards), _Pending(write, settle, is_owned=False))
        try:
            async with asyncio.timeout(_CALLER_WAITS):
                outcome = await settled
        except TimeoutError as error:
            raise self.trouble or StoreUnavailableError(
                "the database has not answered whether it has written this",
                hint="see what became of it with SagaAdmin.get_saga before you do it again",
            ) from error
        if isinstance(outcome, Unsettled) and isinstance(outcome.error, StoreError):
            raise outcome.error
        return outcome

    def _settled(self, write: SagaWrite, settle: Callable[[Outcome], None], outcome: Outcome) -> None:
        settle(outcome)
        self._answered(write, outcome)

    def _answered(self, write: SagaWrite, outcome: Outcome) -> None:
        if write.answers and isinstance(outcome, Applied):
            self.answers.tell(write.id, write.answers)

    async def stop(self, patience: float) -> None:
        """Give up what the store has not answered in `patience` seconds; no task is left that could act upon it."""
        self._stopping = True
        await self._batcher.stop(patience)
        await asyncio.sleep(0)  # a task that never began could settle nothing
        await self._looks.stop(_CLEAN_UP)
        self._stopping = False
        self.answers.stop()

    async def _send(self, shard: int, batch: list[_Pending]) -> None:
        try:
            await by_halves(batch, partial(self._write, shard), partial(self._blame, shard))
        except BaseException as error:
            looks = (
                isinstance(error, asyncio.CancelledError) and not self._stopping
            )  # other code has cancelled this task
            for pending in batch:  # whatever happened, no caller may wait for ever
                if looks and not pending.settled:
                    self._looks.add(self._look_up(shard, pending))
                else:
                    pending.settle(Unsettled(error))
            if not isinstance(error, Exception):
                raise

    async def _write(self, shard: int, batch: Sequence[_Pending]) -> None:
        committed = await self._committed(shard, batch)
        if committed is None:
            return
        self._tell(shard, batch, committed)

    def _tell(self, shard: int, batch: Sequence[_Pending], committed: Committed) -> None:
        """Settle what was written; what matched nothing is looked up."""
        for pending in batch:
            inbox_sent = committed.inbox_sent.get(pending.write.id)
            if inbox_sent is not None:
                earlier = committed.earlier.get(pending.write.id, 0) if committed.earlier else 0
                pending.settle(Applied(inbox_sent, committed.now, earlier))
            else:
                self._looks.add(self._look_up(shard, pending))

    def _blame(self, shard: int, pending: _Pending, error: StoreError) -> None:
        if isinstance(error, RowRejectedError):
            pending.settle(Refused(error))
        else:  # not the saga's own row: that would have been passed over
            self._looks.add(self._look_up(shard, pending))  # beside the batches: it may take long

    async def _committed(self, shard: int, batch: Sequence[_Pending]) -> Committed | None:
        """Send the same bytes until there is an answer: a repeat of what was applied matches nothing, and is looked up.

        Where the store refuses for good, the writes of outsiders are settled by that; those of sagas that this process owns
        go on being sent, for what their steps did is known nowhere else. Where it takes some of them and refuses others, the
        latter are set aside. None if nothing is left to send. Raises RowLockedError for a row that cannot be passed over.
        """
        backoff, refusals = Backoff(0.02, _LONGEST_PAUSE), Backoff(0.02, _LONGEST_PAUSE_IF_REFUSED)
        answers, since = 0, steady.now()
        while True:
            skip = steady.now() < self._skip_locked_until
            try:
                committed = await self._store.commit(shard, [pending.write for pending in batch], skip_locked=skip)
            except RowRejectedError:
                raise
            except RowLockedError:  # the next commits shall not wait for the row as well
                self._skip_locked_until = steady.now() + _SKIP_LOCKED_FOR
                if skip:
                    raise
            except StoreError as error:
                answers = answers + 1 if is_an_answer(error) else 0
                if isinstance(error, StoreBusyError) and answers < _BUSY_TRIES:
                    await asyncio.sleep(random.uniform(0.001, 0.02))
                    continue
                if answers > 1 and await self._parted(shard, batch, error, since):
                    self.trouble = None  # what comes next finds out for itself
                    return None
                refused = isinstance(error, StoreRefusedError)
                if not refused or any(pending.is_owned for pending in batch):  # outsiders hear of it themselves
                    self._note(error)
                if refused:
                    for pending in batch:
                        if not pending.is_owned:
                            pending.settle(Unsettled(error))
                if all(pending.settled for pending in batch):
                    self.trouble = None  # what comes next finds out for itself
                    return None
                await (refusals if refused else backoff).pause()
            else:
                self._was_taken()
                if self._observers.listens:
                    self._observers.tell(BatchCommitted(shard, len(batch), steady.now() - since))
                return committed

    def _was_taken(self) -> None:
        self._taken_at = steady.now()
        if self.trouble is not None:
            self.trouble = None
            self._observers.tell(CommitsRecovered())

    async def _parted(self, shard: int, batch: Sequence[_Pending], error: StoreError, since: float) -> bool:
        """Whether the trouble is about some writes alone: then they are set aside, and the others are settled.

        Two of them are tried, each alone. If the store takes neither, it is taken to refuse all.
        """
        left = [pending for pending in batch if not pending.settled]
        if len(left) == 1:
            others_taken = self._taken_at > since
            if not others_taken and steady.now() < since + _ALONE_FOR:
                return False
            self._set_aside(shard, left[0], error, singled_out=others_taken)
            return True
        try:
            for tried in random.sample(left, min(2, len(left))):
                if await self._takes(shard, [tried]):
                    left.remove(tried)
                    await self._divide(shard, left, error)
                    return True
        except StoreError:  # the connection is gone: all that is not settled is sent again, which does no harm
            return False
        return False

    async def _divide(self, shard: int, part: Sequence[_Pending], error: StoreError) -> None:
        if not part or await self._takes(shard, part):
            return
        if len(part) == 1:
            self._set_aside(shard, part[0], error, singled_out=True)
            return
        half = len(part) // 2
        await self._divide(shard, part[:half], error)
        await self._divide(shard, part[half:], error)

    async def _takes(self, shard: int, part: Sequence[_Pending]) -> bool:
        """Send some writes of a batch once: whether the store takes them. Raises StoreError if it does not answer."""
        try:
            committed = await self._store.commit(shard, [pending.write for pending in part], skip_locked=True)
        except StoreError as error:
            if not is_an_answer(error):
                raise
            return False
        self._was_taken()
        self._tell(shard, part, committed)
        return True

    def _set_aside(self, shard: int, pending: _Pending, error: StoreError, *, singled_out: bool) -> None:
        """Send this write alone from now on, beside the batches, which do not wait for it."""
        self._observers.tell(WriteSetAside(pending.write.id, error))
        self._aside[pending.id] = steady.now(), error
        self._looks.add(self._look_up(shard, pending, singled_out=singled_out))

    def _note(self, error: StoreError) -> None:
        """Remember why commits are not taken, and say so once."""
        if type(self.trouble) is not type(error):
            refused = isinstance(error, StoreRefusedError)
            self._observers.tell(CommitsRefused(error) if refused else CommitsWait(error))
        self.trouble = error

    async def _look_up(self, shard: int, pending: _Pending, *, singled_out: bool = False) -> None:
        """Why a write matched nothing: judged by what stands in the store, never assumed.

        `singled_out`: others were taken when it was refused.
        """
        try:
            await self._settle_by_looks(shard, pending, singled_out=singled_out)
        except BaseException as error:
            pending.settle(Unsettled(error))
            if not isinstance(error, Exception):
                raise
        finally:
            self._aside.pop(pending.id, None)

    async def _settle_by_looks(self, shard: int, pending: _Pending, *, singled_out: bool) -> None:
        write = pending.write
        backoff, refused_backoff = Backoff(0.005, 0.25), Backoff(0.005, _LONGEST_PAUSE)
        refusals, asked = 0, steady.now()
        while True:
            others_taken, asked, is_refused = self._taken_at > asked, steady.now(), False
            try:
                outcome = await self._judge(write)
                if outcome is None:  # the row was locked by another session, or the store has refused it
                    committed = await self._store.commit(shard, [write], skip_locked=True)
                    self._was_taken()
                    inbox_sent = committed.inbox_sent.get(write.id)
                    earlier = committed.earlier.get(write.id, 0)
                    outcome = None if inbox_sent is None else Applied(inbox_sent, committed.now, earlier)
            except RowRejectedError as error:
                outcome = Refused(error)
            except StoreError as error:
                outcome, is_refused = None, True
                if is_an_answer(error) and not isinstance(error, RowLockedError):
                    without = 1 if singled_out and self.trouble is None else 0
                    refusals += _WITH_EVIDENCE if others_taken else without
                    if refusals >= _MOST_REFUSALS:
                        outcome = Refused(RowRejectedError(error.fact, hint=error.hint))
            if outcome is not None:
                if isinstance(outcome, Lost):
                    self._observers.tell(LateWriteRefused(write.id))
                pending.settle(outcome)
                return
            await (refused_backoff if is_refused else backoff).pause()

    async def _judge(self, write: SagaWrite) -> Outcome | None:
        """By one look, so by one snapshot: the commit itself may come through at any moment, and shows in all of it or none."""
        stands = await self._store.standing(write.id, write.rev + 1)
        if stands is None:
            return Lost()
        if stands.writer == write.writer:
            return Applied(stands.inbox_sent, stands.now, SOME_EARLIER)
        if stands.token != write.token or stands.rev != write.rev:
            return Lost()
        return Unread(stands.inbox_sent) if write.inbox_seen not in (None, stands.inbox_sent) else None
