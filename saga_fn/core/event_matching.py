"""Waits for events and moments: which event a wait takes, what is over, and what an unowned saga is to be woken for.

Events are served in the order they came; each is taken once. A wait that is about something takes only an event that
is about the same, any other takes the first of its name. An event that is void is never taken.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from saga_fn.core.events import Event, EventReceived
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.plan import OnTimeout, Plan, PlannedStep
from saga_fn.core.state import TIMED, Buffered, Goal, SagaState, Sleeping, StepState, UndoWaiting, Waiting, abides

BUFFER_LIMIT = 32
"""A saga keeps no more events than this that nothing has taken."""


def wants(planned: PlannedStep, correlation: Digest, event: Buffered) -> bool:
    """Whether a wait for that step, about that, is one for this event."""
    return event.name in planned.waits_for and correlation in (b"", event.correlation)


def undo_wants(waiting: UndoWaiting, event: Buffered) -> bool:
    """Whether a compensation waits for this event."""
    return event.name in waiting.names and waiting.correlation in (b"", event.correlation)


def is_void(event: Buffered, at: Moment) -> bool:
    """Whether nothing may take the event any more."""
    return event.expires is not None and event.expires <= at


def first_for(planned: PlannedStep, correlation: Digest, buffered: Iterable[Buffered], at: Moment) -> Buffered | None:
    """The event that a wait which begins now takes at once."""
    return next((event for event in buffered if wants(planned, correlation, event) and not is_void(event, at)), None)


def takes_more(then: SagaState, now: SagaState) -> bool:
    """Whether the saga may take an event now for which it had no room then: a wait has begun, or there is room."""
    waited = {step.step for step in then.steps if isinstance(step, Waiting | UndoWaiting)}
    if any(isinstance(step, Waiting | UndoWaiting) and step.step not in waited for step in now.steps):
        return True
    return sum(not is_void(event, now.at) for event in now.buffered) < BUFFER_LIMIT


def has_more_to_read(then: SagaState | None, now: SagaState, *, more: bool) -> bool:
    """Whether the next owner of the saga finds something to read in its inbox.

    `then` is the saga as it was when it had no room for an event, which is still unread; None if there is none. `more` says
    that behind what was read there is more: what stands behind an event without room waits with it. An end reads nothing.
    """
    if now.ended:
        return False
    return more if then is None else takes_more(then, now)


def is_over(step: StepState, at: Moment) -> bool:
    """Whether the moment that the step waits until has come."""
    # Not a match: each step of each saga is asked, and a match is slow where it says no.
    if type(step) is Sleeping:
        return step.wake <= at
    if type(step) is Waiting or type(step) is UndoWaiting:
        return step.times_out_at is not None and step.times_out_at <= at
    return False


def defaulting(plan: Plan, state: SagaState) -> tuple[StepId, ...]:
    """The steps whose wait is over, and that go on with the value that was declared for this."""
    if TIMED.isdisjoint(map(type, state.steps)):
        return ()
    return tuple(
        step.step
        for step in state.steps
        if is_over(step, state.at) and plan.step(step.step).on_timeout is OnTimeout.DEFAULT
    )


def timer_moments(state: SagaState) -> tuple[Moment, ...]:
    """The moments that the saga itself, its waits and its sleeps wait for; they may have come."""
    if state.goal is Goal.ROLLBACK:
        untils = [step.times_out_at for step in state.steps if type(step) is UndoWaiting]
        return tuple([until for until in untils if until is not None])
    if state.goal is not Goal.FORWARD:
        return ()
    moments = [step.wake if isinstance(step, Sleeping) else step.times_out_at for step in state.steps if abides(step)]
    begins = state.begins_at if state.begins_at > state.at else None
    return tuple([moment for moment in (*moments, begins, state.deadline) if moment is not None])


class Answer(enum.StrEnum):
    """The answer to the sender of an accepted event or verb."""

    APPLIED = "applied"
    """A verb, or an event without a name, has changed the saga."""
    ACCEPTED = "accepted"
    """A wait has taken the event."""
    BUFFERED = "buffered"
    """The saga keeps the event for a wait that is to come."""


def answer_to(event: Event, state: SagaState) -> Answer:
    """The answer to an event that was folded and led to that state."""
    if not isinstance(event, EventReceived) or not event.name:
        return Answer.APPLIED
    return Answer.BUFFERED if any(kept.seq == state.rev for kept in state.buffered) else Answer.ACCEPTED
