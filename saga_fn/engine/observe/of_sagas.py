"""Facts about the course of one saga, from its start to its end, and what the log says of each."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from typing_extensions import override

from saga_fn.core.ids import Moment, StepId
from saga_fn.core.leftovers import LeftOver
from saga_fn.core.projection import SagaStatus, calls_a_person
from saga_fn.engine.observe.fact import Line, SagaFactBase, about
from saga_fn.store.records import time_of


class SagaStarted(SagaFactBase, frozen=True):
    """The saga is in the store. One that starts in a caller's transaction is not told of: that may be rolled back.

    Attributes:
        saga: The saga.
        owned: Whether this process goes on with it at once.
    """

    owned: bool


class SagaClaimed(SagaFactBase, frozen=True):
    """This process has taken the saga on.

    Attributes:
        saga: The saga.
        takeover: Whether its owner before had not given it up: that process is gone, or was too slow.
        previous_owner: The id of that process; None if this is no takeover.
        previous_process: Its host and its number there (`shop-7f4c:41`); None if it is not known any more.
        is_own: Whether it was this very process, whose lease has run out meanwhile.
    """

    takeover: bool
    previous_owner: UUID | None = None
    previous_process: str | None = None
    is_own: bool = False

    @override
    def _line(self) -> Line | None:
        if not self.takeover:
            return None
        if self.is_own:
            text = "saga %s is taken up again by this process, which has let its lease run out: it, or the database, stood still"
            return Line(logging.WARNING, text, (self.saga.id,), about(self.saga))
        named = str(self.previous_owner) if self.previous_process is None else self.previous_process
        text = "saga %s is taken over from process %s, which has let its lease run out: it is gone, or was too slow"
        return Line(logging.WARNING, text, (self.saga.id, named), about(self.saga))


class SagaReleased(SagaFactBase, frozen=True):
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


class SagaLost(SagaFactBase, frozen=True):
    """The saga was taken from this process, or its lease has run out.

    Attributes:
        saga: The saga.
    """


class SagaTurnedBack(SagaFactBase, frozen=True):
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


class SagaParked(SagaFactBase, frozen=True):
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


class SagaEnded(SagaFactBase, frozen=True):
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


class TakenUpAgain(SagaFactBase, frozen=True):
    """An operator has taken up a saga that had FAILED."""

    verb: str

    @override
    def _line(self) -> Line:
        text = "saga %s: resumed from FAILED by an operator (%s)"
        return Line(logging.WARNING, text, (self.saga.id, self.verb), about(self.saga))


SagaFact: TypeAlias = (
    SagaStarted | SagaClaimed | SagaReleased | SagaLost | SagaTurnedBack | SagaParked | SagaEnded | TakenUpAgain
)
