"""Facts about one saga, from its start to its end, and what the log says of each.

An attempt is one execution of a step, of its compensation or of its probe. Its consequence is told when that is durable.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from typing_extensions import override

from saga_fn.core.event_kinds import Phase
from saga_fn.core.events import FailureKind
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.leftovers import LeftOver
from saga_fn.core.outlook import Again, ForAPerson, ForGood, Next, Outlook, Overtaken, ToFindOut, ToUndo
from saga_fn.core.projection import SagaStatus, calls_a_person
from saga_fn.engine.observe.fact import FactBase, Line, SagaIdentity, about, only_id
from saga_fn.engine.observe.traces import in_lines
from saga_fn.errors import StoreError
from saga_fn.printable import name_of_type
from saga_fn.store.records import time_of

_COUNTLESS: Final = 1_000_000
"""Attempts of a policy that is bounded in time alone."""


class _OfSaga(FactBase, frozen=True):
    saga: SagaIdentity


class SagaStarted(_OfSaga, frozen=True):
    """The saga is in the store. One that starts in a caller's transaction is not told of: that may be rolled back.

    Attributes:
        saga: The saga.
        owned: Whether this process goes on with it at once.
    """

    owned: bool


class SagaClaimed(_OfSaga, frozen=True):
    """This process has taken the saga on.

    Attributes:
        saga: The saga.
        takeover: Whether its owner before had not given it up: that process is gone, or was too slow.
        previous_owner: The id of that process; None if this is no takeover.
    """

    takeover: bool
    previous_owner: UUID | None = None

    @override
    def _line(self) -> Line | None:
        if not self.takeover:
            return None
        text = "saga %s is taken over from process %s, which has let its lease run out: it is gone, or was too slow"
        return Line(logging.WARNING, text, (self.saga.id, self.previous_owner), about(self.saga))


class SagaReleased(_OfSaga, frozen=True):
    """This process has given the saga up, which has not ended.

    Attributes:
        saga: The saga.
        due: When it is due again, in microseconds since 1970; None if it waits for a person or an event alone.
    """

    due: Moment | None

    @property
    def due_at(self) -> datetime | None:
        """The same as an aware datetime."""
        return None if self.due is None else time_of(self.due)


class SagaLost(_OfSaga, frozen=True):
    """The saga was taken from this process, or its lease has run out.

    Attributes:
        saga: The saga.
    """


class AttemptBegun(_OfSaga, frozen=True):
    """User code is called.

    Attributes:
        saga: The saga.
        step: The id of the step, or of the item.
        attempt: The number of the attempt, from 1 on; compensations and probes count for themselves.
        phase: The part of it that is called: the step itself, its compensation or its probe.
    """

    step: StepId
    attempt: int
    phase: Phase


class AttemptOver(_OfSaga, frozen=True):
    """User code has returned, has raised or was cut short; its result is not durable yet.

    Attributes:
        saga: The saga.
        step: The id of the step, or of the item.
        attempt: The number of the attempt, from 1 on; compensations and probes count for themselves.
        phase: The part of it that is called: the step itself, its compensation or its probe.
        seconds: How long it took.
    """

    step: StepId
    attempt: int
    phase: Phase
    seconds: float


class ReturnedLate(_OfSaga, frozen=True):
    """A step has returned an output after its timeout was over, which is taken all the same."""

    step: StepId
    attempt: int
    seconds: float
    """Its timeout."""

    @override
    def _line(self) -> Line:
        text = "saga %s: %s returned after its time of %g s was over"
        return Line(
            logging.WARNING, text, (self.saga.id, self.step, self.seconds), about(self.saga, self.step, self.attempt)
        )


class AttemptSucceeded(_OfSaga, frozen=True):
    """An attempt's success is durable. A compensation that waits for an event has succeeded in that.

    Attributes:
        saga: The saga.
        step: The id of the step, or of the item.
        attempt: The number of the attempt, from 1 on; compensations and probes count for themselves.
        phase: The part of it that is called: the step itself, its compensation or its probe.
    """

    step: StepId
    attempt: int
    phase: Phase


class AttemptFailed(_OfSaga, frozen=True):
    """An attempt's failure is durable, with what comes next.

    Attributes:
        saga: The saga.
        step: The id of the step, or of the item.
        attempt: The number of the attempt, from 1 on; compensations and probes count for themselves.
        phase: The part of it that is called: the step itself, its compensation or its probe.
        kind: The kind of the failure, as the step's options judge it.
        at: When it failed, in microseconds since 1970.
        error: The types of the exceptions, without their messages.
        altered: Whether it is a business error that could not be stored whole.
        outlook: The decision on what comes next: see `again_at`.
        raised: The exception, if this process has seen it. Its message may hold what a payload holds.
    """

    step: StepId
    attempt: int
    phase: Phase
    kind: FailureKind
    at: Moment
    error: str
    altered: bool
    outlook: Outlook
    raised: BaseException | None

    @property
    def again_at(self) -> datetime | None:
        """When the next attempt begins, as an aware datetime; None if there is none by itself."""
        next_ = self.outlook.next
        return time_of(max(next_.at, self.at)) if isinstance(next_, Again) else None

    @property
    def what(self) -> str:
        """The name of what failed, in words."""
        match self.phase:
            case Phase.COMPENSATE:
                return f"the compensation of {self.step}"
            case Phase.PROBE:
                return f"the probe of {self.step}"
            case Phase.EXECUTE | Phase.SAGA:
                return self.step
            case _:
                assert_never(self.phase)

    @override
    def _line(self) -> Line:
        told = self.error
        if self.altered:
            told += ", a business error that cannot be stored whole: its type and message are kept"
        extra = about(self.saga, self.step, self.attempt)
        args = (self.saga.id, self.what, told, self._next())
        return Line(logging.WARNING, "saga %s: %s failed (%s): %s", args, extra, like=f"{self.phase} {told}")

    def _next(self) -> str:
        """Which attempt it was, and what comes next, as the core has decided."""
        words = [f"attempt {self.attempt}{_of(self.outlook.counted, self.attempt)}"]
        if self.kind is FailureKind.BUSINESS_ERROR:
            words.append("a business error")
        if self.outlook.may_have_run and self.phase is not Phase.PROBE:
            words.append("it may have run")
        return ", ".join((*words, _told(self.outlook.next, self.at)))


class SagaTurnedBack(_OfSaga, frozen=True):
    """The saga is rolled back from here on, unless a pivot that may have run turns out to be done."""

    event: str
    """The name of the event that turned it back: `ticked` or `resumed` where a time limit was found to be over."""
    step: StepId | None
    """The step that the event is about; None if it is about none."""

    @override
    def _line(self) -> Line:
        of = "" if self.step is None else f" of {self.step}"
        return Line(
            logging.INFO, "saga %s turns back: %s%s", (self.saga.id, self.event, of), about(self.saga, self.step)
        )


class SagaParked(_OfSaga, frozen=True):
    """The saga waits for a person, for a reason.

    Attributes:
        saga: The saga.
        step: The step that is parked; None if the whole saga is.
        reason: The reason, as `SagaSnapshot.parked` names it.
        error: The types of its last error; None if there was none.
    """

    step: StepId | None
    reason: str
    error: str | None

    @override
    def _line(self) -> Line:
        what = self.reason if self.error is None else f"{self.reason} ({self.error})"
        args = (self.saga.id, self.step, what)
        return Line(logging.WARNING, "saga %s is parked at %s: %s", args, about(self.saga, self.step), like=what)


class SagaEnded(_OfSaga, frozen=True):
    """The saga has ended. FAILED is told at ERROR, for a person has to look at what is left over.

    Attributes:
        saga: The saga.
        end: The status that it ended with.
        error: The types of the error that made it fail; None if a person ended it, or nothing failed.
        left_over: The effects that are left in the world, each with its step and kind.
        at: When it ended, in microseconds since 1970.
    """

    end: SagaStatus
    error: str | None
    left_over: tuple[LeftOver, ...]
    at: Moment

    @property
    def seconds(self) -> float | None:
        """How long it took from its start, by the store's clock; None where its start is not known."""
        started = self.saga.started_at
        return None if started is None else max(0.0, (time_of(self.at) - started).total_seconds())

    @override
    def _line(self) -> Line:
        if not calls_a_person(self.end):
            return Line(logging.INFO, "saga %s ended: %s", (self.saga.id, self.end.name), about(self.saga))
        left = ", ".join(f"{each.step_id} ({each.kind.value})" for each in self.left_over) or "nothing"
        args = (self.saga.id, self.error or "by a person", left)
        text = "saga %s ended: FAILED (%s); left over: %s"
        return Line(logging.ERROR, text, args, about(self.saga), like=f"{self.error} {left}")


class TakenUpAgain(_OfSaga, frozen=True):
    """An operator has taken up a saga that had FAILED."""

    verb: str

    @override
    def _line(self) -> Line:
        text = "saga %s: resumed from FAILED by an operator (%s)"
        return Line(logging.WARNING, text, (self.saga.id, self.verb), about(self.saga))


class AttributeUnknown(_OfSaga, frozen=True):
    """A search attribute could not be computed of the output of a step; the saga goes on without a value of it."""

    attribute: str
    step: StepId
    error: str
    """The name of the error's type."""

    @override
    def _line(self) -> Line:
        text = "saga %s: attribute %s could not be computed of the output of step %s: %s; no search by a value finds it"
        return Line(logging.WARNING, text, (self.saga.id, self.attribute, self.step, self.error), about(self.saga))


class EventRejected(_OfSaga, frozen=True):
    """The core has refused an event."""

    event: str
    """The name of its kind."""
    why: str


class ResultDropped(_OfSaga, frozen=True):
    """A result came when the saga was another process's.

    Attributes:
        saga: The saga.
        event: The name of its kind.
        step: The step that it was a result of; None if it was of none.
    """

    event: str
    step: StepId | None

    @override
    def _line(self) -> Line:
        text = "saga %s: a late result of step %s was dropped"
        return Line(logging.WARNING, text, (self.saga.id, self.step), about(self.saga))


class RejectionNotRecorded(_OfSaga, frozen=True):
    """The store does not take what was to be remembered of a refusal, or of a late result."""

    what: str
    error: StoreError

    @override
    def _line(self) -> Line:
        text = f"saga %s: {self.what} could not be noted: %s"
        return Line(logging.WARNING, text, (self.saga.id, self.error.fact), about(self.saga))


class MessagesUnreadable(FactBase, frozen=True):
    """Messages to a saga cannot be read; they are answered by that."""

    saga_id: UUID
    first: UUID
    count: int

    @override
    def _line(self) -> Line:
        more = f", and {self.count - 1} more" if self.count > 1 else ""
        args = (self.saga_id, self.first, more)
        return Line(logging.WARNING, "saga %s: message %s cannot be read%s", args, only_id(self.saga_id))


class MessageNotAnswered(FactBase, frozen=True):
    """The store does not take the answer to a message that cannot be read."""

    saga_id: UUID
    error: StoreError

    @override
    def _line(self) -> Line:
        args = (self.saga_id, self.error.fact)
        return Line(logging.WARNING, "saga %s: a message could not be answered: %s", args, only_id(self.saga_id))


class WaitsForStore(_OfSaga, frozen=True):
    """The saga has waited for about a second for something that the store is to give."""

    what: str
    error: StoreError

    @override
    def _line(self) -> Line:
        args = (self.saga.id, self.what, self.error.fact)
        return Line(logging.WARNING, "saga %s waits for %s: %s", args, about(self.saga))


class RowRefused(_OfSaga, frozen=True):
    """The database does not keep what the saga has come to."""

    error: StoreError

    @override
    def _line(self) -> Line:
        args = (self.saga.id, self.error.fact)
        return Line(logging.ERROR, "the database refused saga %s: %s", args, about(self.saga))


class WriteSetAside(FactBase, frozen=True):
    """The store takes others' writes and not this one, which is sent beside them from now on."""

    saga_id: UUID
    error: StoreError

    @override
    def _line(self) -> Line:
        text = "the store does not take what saga %s has come to: %s"
        return Line(logging.WARNING, text, (self.saga_id, self.error.fact))


class SagaSetAside(FactBase, frozen=True):
    """The saga cannot be driven, for whatever is stored of it, and is to be parked as it stands."""

    saga_id: UUID
    error: BaseException

    @property
    def why(self) -> str:
        """The error in words that may stand in a log."""
        return self.error.fact if isinstance(self.error, StoreError) else name_of_type(self.error)

    @override
    def _line(self) -> Line:
        known = isinstance(self.error, StoreError)
        text = "saga %s cannot be driven and is parked: %s"
        error = None if known else in_lines(self.error)
        return Line(logging.ERROR, text, (self.saga_id, self.why), only_id(self.saga_id), error)


class SagaNotSetAside(FactBase, frozen=True):
    """Not even that could be written: the saga's lease runs out, and another process meets it."""

    saga_id: UUID
    error: StoreError

    @override
    def _line(self) -> Line:
        text = "saga %s could not be parked; its lease runs out: %s"
        return Line(logging.ERROR, text, (self.saga_id, self.error.fact), only_id(self.saga_id))


class ReadElsewhere(FactBase, frozen=True):
    """The saga could not be read together with its journal or its plan: it is claimed again after a lease.

    As in a failover, when some connections lead to the old server still.
    """

    saga_id: UUID

    @override
    def _line(self) -> Line:
        text = "saga %s could not be read together with its journal or its plan; it is claimed again later"
        return Line(logging.WARNING, text, (self.saga_id,), only_id(self.saga_id))


class SagaNotClaimable(FactBase, frozen=True):
    """The store does not let the saga be claimed: it is passed over for so many seconds."""

    saga_id: UUID
    seconds: float
    error: StoreError

    @override
    def _line(self) -> Line:
        text = "saga %s cannot be claimed, and is passed over for %.0f s: %s"
        args = (self.saga_id, self.seconds, self.error.fact)
        return Line(logging.ERROR, text, args, only_id(self.saga_id))


class LeftToLease(_OfSaga, frozen=True):
    """The saga could not be driven for a reason that is not its own: its lease runs out."""

    error: BaseException

    @override
    def _line(self) -> Line:
        text = "saga %s could not be driven; its lease runs out"
        return Line(logging.ERROR, text, (self.saga.id,), about(self.saga), self.error)


class LeftByProgram(_OfSaga, frozen=True):
    """The program ends in the middle of the saga, which is left to its lease."""

    @override
    def _line(self) -> Line:
        text = "saga %s is left to its lease: the program ends"
        return Line(logging.WARNING, text, (self.saga.id,), about(self.saga))


class LeaseNotRenewed(FactBase, frozen=True):
    """The lease of one saga could not be renewed when it was wanted at once."""

    saga_id: UUID
    error: StoreError

    @override
    def _line(self) -> Line:
        text = "the lease on saga %s could not be renewed: %s"
        return Line(logging.WARNING, text, (self.saga_id, self.error.fact))


SagaFact: TypeAlias = (
    SagaStarted
    | SagaClaimed
    | SagaReleased
    | SagaLost
    | AttemptBegun
    | AttemptOver
    | ReturnedLate
    | AttemptSucceeded
    | AttemptFailed
    | SagaTurnedBack
    | SagaParked
    | SagaEnded
    | TakenUpAgain
    | AttributeUnknown
    | EventRejected
    | ResultDropped
    | RejectionNotRecorded
    | MessagesUnreadable
    | MessageNotAnswered
    | WaitsForStore
    | RowRefused
    | WriteSetAside
    | SagaSetAside
    | SagaNotSetAside
    | ReadElsewhere
    | SagaNotClaimable
    | LeftToLease
    | LeftByProgram
    | LeaseNotRenewed
)


def _told(next_: Next, at: Moment) -> str:
    match next_:
        case Again(at=then):
            return f"again {_in(then, at)}"
        case ToFindOut():
            return "to be found out"
        case ToUndo():
            return "to be undone"
        case ForAPerson():
            return "waits for a person"
        case ForGood():
            return "for good"
        case Overtaken():
            return "and was decided otherwise meanwhile"
        case _:
            assert_never(next_)


def _of(counted: tuple[int, int] | None, attempt: int) -> str:
    """Which of how many. An execution has a number for ever, while a policy counts anew when a person says so."""
    if counted is None or counted[1] >= _COUNTLESS:
        return ""
    count, most = counted
    return f" of {most}" if count == attempt else f", {count} of {most} by its policy"


def _in(wake: Moment, at: Moment) -> str:
    seconds = max(0, wake - at) / 1_000_000
    shown = round(seconds, 3 if seconds < 1 else 1)
    return f"in {shown:g} s" if shown else "at once"
