"""Transactional executions: user code in an open transaction, whose result is committed there.

    open ──► run ──► the result, with its transaction, to the interpreter ──► the write that it decides on ──► COMMIT

The task that runs the code owns the transaction from its begin to its end: nothing else sends a statement on it. The
interpreter decides on the result as on every event. It hands the write in here, in place of the committer. Cut short at any moment
before COMMIT, nothing has happened. An answer to COMMIT that was lost is looked up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final, TypeAlias, final

import msgspec

from saga_fn.backoff import Backoff
from saga_fn.core.effects import RunCompensation, RunStep
from saga_fn.core.event_kinds import is_failure
from saga_fn.core.events import FailureKind
from saga_fn.definition.steps.clients import origins
from saga_fn.definition.steps.transactions import READ_COMMITTED
from saga_fn.engine.commit.outcome import Applied, Lost, Outcome, Refused, RolledBack, Unread, Unsettled
from saga_fn.engine.drive.chores import asked
from saga_fn.engine.drive.execution import execute, execute_watched
from saga_fn.engine.drive.failed import failed_within
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.drive.surroundings import Surroundings
from saga_fn.engine.drive.within import Settle, Within
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_commits import LateWriteRefused
from saga_fn.engine.topics import SOME_EARLIER
from saga_fn.errors import StoreError
from saga_fn.store.errors import (
    AnswerLostError,
    CommitRefusedError,
    RowLockedError,
    RowRejectedError,
    StoreBusyError,
    TransactionEndedError,
    is_an_answer,
)
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import OpenTransaction, Store
from saga_fn.store.records import SagaWrite
from saga_fn.tasks import spawn

MOST_REPEATS: Final = 5
"""How often an execution is repeated because its transaction met a conflict with another one."""
_MOST_LOOKS: Final = 50
"""How often a write is tried in one transaction that sees the saga's row otherwise than others do."""
_CONFLICTS: Final = ("40001", "40P01")
"""serialization_failure and deadlock_detected."""
_CANCELLED: Final = ("57014",)
"""query_canceled: the server's own watch over the step's time."""


class _Conflict(msgspec.Struct, frozen=True):
    """The transaction has lost against another one, or has waited too long for the saga's row; nothing of it has happened."""

    error: BaseException
    counts: bool
    failure: Incoming | None = None
    """As it is told if it comes again and again; None for a conflict."""


_End: TypeAlias = Incoming | _Conflict | None
"""A failure to be told, a conflict; or None, where the interpreter knows what has become of it."""


@final
class Transactional(msgspec.Struct, frozen=True):
    """One step, or its compensation, in transactions until one of them is committed, or the step has failed."""

    saga: OwnedSaga
    action: RunStep | RunCompensation
    store: Store
    surroundings: Surroundings
    observers: Observers
    take: Callable[[Incoming], None]
    """Gives a result, with its open transaction, to the interpreter."""
    is_wanted: Callable[[], bool]
    is_cut: Callable[[], bool]
    """Whether it was cut short, and its code has gone on all the same: no task waits for its result."""
    may_begin: Callable[[], bool]
    """Whether the lease still runs."""
    postpone: Callable[[], None]
    """Has the execution begun again when the lease runs."""
    forget: Callable[[], None]
    """Says that the task ends by itself from now on."""

    async def run(self) -> Incoming | None:
        """Run it. Gives a failure, which is an ordinary event; else None."""
        conflicts = 0
        backoff = Backoff(0.005, 0.25)
        while not self.is_cut():
            async with AsyncExitStack() as stack:
                opened = await asked(
                    self.observers, self.saga, "a transaction", lambda: self._open(stack), self.is_wanted
                )
                if opened is None:
                    return None
                if not self.may_begin():
                    self.postpone()
                    return None
                end = await self._in(opened)
            if not isinstance(end, _Conflict):
                return end
            conflicts += end.counts
            if conflicts > MOST_REPEATS:
                return end.failure or self._failed(FailureKind.CONFLICTS, end.error)
            await backoff.pause()
        return None

    async def _open(self, stack: AsyncExitStack) -> OpenTransaction:
        assert self.store.transactions is not None, "else it could not be registered"
        binding = self.saga.binding(self.action.step)
        seconds = binding.timeout if isinstance(self.action, RunStep) else binding.compensation_timeout
        opening = self.store.transactions.open(isolation=self._isolation, seconds=seconds, name=self.action.step)
        return await stack.enter_async_context(opening)

    @property
    def _isolation(self) -> str:
        binding = self.saga.binding(self.action.step)
        isolation = binding.isolation if isinstance(self.action, RunStep) else binding.undo_isolation
        assert isolation is not None, "it is transactional"
        return isolation

    async def _in(self, opened: OpenTransaction) -> _End:
        """Run it in this transaction, and commit that if it gives a result."""
        run = execute_watched if self.observers.listens else execute
        surroundings = msgspec.structs.replace(self.surroundings, connection=opened.connection)
        done = await run(self.saga, self.action, surroundings, self.observers)
        opened.leave()
        if self.is_cut():
            return None
        if is_failure(done.event):
            await asyncio.sleep(0)  # a connection that has just broken says so in the next turn of the loop
            if await opened.has_ended():
                return self._failed(FailureKind.UNKNOWN, TransactionEndedError())
            return self._judged(done, opened)
        within = Within()
        self.take(msgspec.structs.replace(done, within=within))
        while True:
            order = await within.told()
            if order is None:
                return None
            write, settle = order
            outcome, end = await self._settled(opened, write, settle)
            if isinstance(outcome, Unread):
                within.wait()
            elif not isinstance(outcome, RolledBack):
                self.forget()  # what comes of it cuts nothing short any more: the connection is given back
            settle(outcome)
            if not isinstance(outcome, Unread):
                return end

    def _judged(self, done: Incoming, opened: OpenTransaction) -> Incoming | _Conflict:
        """The failure of the step's own code: whether its transaction is what has failed."""
        event, raised = done.event, done.raised
        if raised is None or not is_failure(event):
            return done
        if event.kind is FailureKind.BUSINESS_ERROR:
            return done
        if _comes_from(raised, _says(_CONFLICTS)):
            return _Conflict(raised, counts=True)
        if _comes_from(raised, opened.is_outdated):
            return _Conflict(raised, counts=True, failure=done)
        is_timeout = isinstance(raised, TimeoutError) and _comes_from(raised, opened.was_cut)
        is_cancelled = is_timeout or _comes_from(raised, _says(_CANCELLED))
        if opened.is_broken or (event.kind is FailureKind.UNKNOWN and is_cancelled):
            return msgspec.structs.replace(done, event=msgspec.structs.replace(event, kind=FailureKind.INTERRUPTED))
        return done

    async def _settled(self, opened: OpenTransaction, write: SagaWrite, settle: Settle) -> tuple[Outcome, _End]:
        """Write it, and commit. Cut short before that, nothing has happened: the task that waits for the write is told so.

        Where it raises, `settle` was called.
        """
        sent = False
        try:
            written = await self._written(opened, write)
            if not isinstance(written, Applied):
                return written, None
            sent = True
            await opened.commit()
        except asyncio.CancelledError as cut:
            if sent:
                await self._fate(write, settle, cut)
            else:
                settle(RolledBack())
            raise
        except AnswerLostError as error:
            fate = await self._fate(write, settle)
            return fate, self._failed(FailureKind.INTERRUPTED, error) if isinstance(fate, RolledBack) else None
        except CommitRefusedError as error:
            fate = await self._fate(write, settle)  # or it was committed, and what goes with a COMMIT was refused
            return fate, self._refused(error.cause) if isinstance(fate, RolledBack) else None
        except RowRejectedError as error:
            return Refused(error), None
        except StoreBusyError as error:
            return RolledBack(), _Conflict(error, counts=not isinstance(error, RowLockedError))
        except TransactionEndedError as error:
            return RolledBack(), self._failed(FailureKind.UNKNOWN, error)
        except StoreError as error:
            is_over = opened.is_broken or not is_an_answer(error)
            return RolledBack(), self._failed(FailureKind.INTERRUPTED if is_over else FailureKind.ERROR, error)
        except BaseException as error:  # whatever it is: the interpreter waits for the write's fate
            settle(Unsettled(error))
            raise
        return written, None

    def _refused(self, cause: Exception) -> _End:
        """The server has refused to commit: for another transaction's sake, or because of what the step has written."""
        if _comes_from(cause, _says(_CONFLICTS)):
            return _Conflict(cause, counts=True)
        return self._failed(FailureKind.ERROR, cause)

    def _failed(self, kind: FailureKind, error: BaseException) -> Incoming:
        return failed_within(self.saga, self.action, self.surroundings, kind, error)

    async def _written(self, opened: OpenTransaction, write: SagaWrite) -> Applied | Unread | Lost:
        """Write it in the transaction. A write that matches nothing is looked up, and fails nothing.

        Raises StoreBusyError where its transaction is too old to see the saga's row as it is.
        """
        for _ in range(_MOST_LOOKS):
            await opened.check()
            committed = await opened.write(write)
            inbox_sent = committed.inbox_sent.get(write.id)
            if inbox_sent is not None:
                return Applied(inbox_sent, committed.now, committed.earlier.get(write.id, 0))
            stands = await self.store.standing(write.id, write.rev + 1)
            if stands is None or stands.token != write.token or stands.rev != write.rev:
                self.observers.tell(LateWriteRefused(write.id))
                return Lost()
            if write.inbox_seen not in (None, stands.inbox_sent):
                return Unread(stands.inbox_sent)
            if self._isolation != READ_COMMITTED:  # it sees the row as of its begin, however often it looks
                break
            await asyncio.sleep(
                random.uniform(0.001, 0.02)
            )  # it was changed, and changed back: it is not known by what
        raise StoreBusyError("the saga's row has changed since the step's transaction began")

    async def _fate(self, write: SagaWrite, settle: Settle, cut: asyncio.CancelledError | None = None) -> Outcome:
        """Look it up in a task of its own, which no cancellation of this one ends: else no task would be told of it.

        If this task was cut short, before or meanwhile, `settle` is called here, and then the cancellation goes on.
        """
        look = spawn(self._looked_up(write))
        while not look.done():
            try:
                await asyncio.wait((look,))
            except asyncio.CancelledError as error:
                cut = error
        try:
            fate = look.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, the saga is left to its lease
            fate = Unsettled(error)
        if cut is not None:
            settle(fate)
            raise cut
        return fate

    async def _looked_up(self, write: SagaWrite) -> Outcome:
        """Whether the transaction was committed whose answer to COMMIT was lost.

        Its write holds the saga's row until it is over, one way or the other. So once the row can be written by another
        statement, the journal says what has become of it.
        """
        shard = shard_of(write.id, self.store.shards)
        backoff = Backoff(0.01, 1.0)
        assert write.token is not None, "an owner has written it"
        is_over = False
        while True:
            try:
                stands = await self.store.standing(write.id, write.rev + 1)
                if stands is None:
                    return Lost()
                if stands.writer == write.writer:
                    return Applied(stands.inbox_sent, stands.now, SOME_EARLIER)
                if stands.token != write.token or stands.rev != write.rev:
                    return Lost()
                if is_over:
                    return RolledBack()
                if not self.is_wanted():  # the next owner finds out
                    return Unsettled(AnswerLostError("the answer to COMMIT was lost"))
                held = {write.id: write.token}
                renewed = await self.store.renew(shard, held, owner=self.saga.owner, lease=self.surroundings.lease)
                is_over = write.id in renewed.inbox_sent
                if is_over:
                    continue
            except StoreError as error:
                if not self.is_wanted():
                    return Unsettled(error)
            await backoff.pause()


def _comes_from(raised: BaseException, is_it: Callable[[BaseException], bool]) -> bool:
    """Whether this is what the step has failed by, or what that was raised from.

    An exception that was handled when it was raised does not count: by then the step may have been at another system's.
    """
    return any(is_it(each) for each in origins(raised))


def _says(codes: Sequence[str]) -> Callable[[BaseException], bool]:
    """Whether an exception has one of the server's codes; whichever driver has raised it."""
    return lambda error: getattr(error, "sqlstate", None) in codes
