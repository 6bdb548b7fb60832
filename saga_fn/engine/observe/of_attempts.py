"""Facts about attempts, and what the log says of each.

An attempt is one execution of a step, of its compensation or of its probe. Its consequence is told when that is durable.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final, TypeAlias, assert_never

from typing_extensions import override

from saga_fn.core.event_kinds import Phase
from saga_fn.core.events import FailureKind
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.outlook import Again, ForAPerson, ForGood, Next, Outlook, Overtaken, ToFindOut, ToUndo
from saga_fn.engine.observe.fact import Line, SagaFactBase, about
from saga_fn.store.records import time_of

_COUNTLESS: Final = 1_000_000
"""Attempts of a policy that is bounded in time alone."""


class AttemptBegun(SagaFactBase, frozen=True):
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


class AttemptOver(SagaFactBase, frozen=True):
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


class ReturnedLate(SagaFactBase, frozen=True):
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


class AttemptSucceeded(SagaFactBase, frozen=True):
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


class AttemptFailed(SagaFactBase, frozen=True):
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


AttemptFact: TypeAlias = AttemptBegun | AttemptOver | ReturnedLate | AttemptSucceeded | AttemptFailed


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
