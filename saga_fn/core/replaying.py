"""A saga's journal, judged by another plan than the saga ran by: entry by entry, so that one difference hides no other.

Before each entry the other plan gets the state that the saga really had. So each answer is that of a deploy at this very point.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import msgspec
from returns.result import Failure

from saga_fn.core.effects import Rejection, Transition
from saga_fn.core.event_kinds import plan_of, step_of
from saga_fn.core.events import Event, PlanChanged, Started
from saga_fn.core.ids import StepId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import project
from saga_fn.core.state import SagaState
from saga_fn.core.step_report import StepStatus, report_of
from saga_fn.core.transition import transition

_replace = msgspec.structs.replace


class Departure(enum.StrEnum):
    """How an entry of a journal is judged otherwise."""

    NOT_ACCEPTED = "not_accepted"
    """The saga's own plan does not accept it there."""
    UNFIT = "unfit"
    """The other plan does not fit what the saga has done up to there."""
    REFUSED = "refused"
    """The other plan does not accept it there."""
    OTHER_STEP = "other_step"
    """By the other plan a step comes to another status."""
    OTHER_START = "other_start"
    """By the other plan another step begins next."""
    OTHER_STATUS = "other_status"
    """By the other plan the saga comes to another status."""
    OTHER_MOMENTS = "other_moments"
    """By the other plan something is tried again, or ends, at another moment."""


class Departed(msgspec.Struct, frozen=True):
    """One departure from what the journal has."""

    how: Departure
    step: StepId | None = None
    was: str = ""
    """As the journal has it, in the words of statuses."""
    now: str = ""
    """As the other plan has it; nothing where it has no such step."""
    rejection: Rejection | None = None


class Point(msgspec.Struct, frozen=True):
    """A saga after an entry, and whether the other plan takes it over there."""

    state: SagaState
    fits: bool


def follow(own: Plan, other: Plan, before: Point | None, event: Event) -> tuple[Point | None, tuple[Departed, ...]]:
    """Fold an entry by the saga's own plan, and compare with what the other one makes of it.

    `own` is the plan that the saga runs by from this entry on. The point is None where that does not accept the entry.
    A saga that has ended is not taken over: what an operator asks of it then is judged by its own plan alone.
    """
    decision = transition(own, None if before is None else before.state, event)
    if isinstance(decision, Failure):
        return None, (Departed(Departure.NOT_ACCEPTED, rejection=decision.failure()),)
    moved = decision.unwrap()
    if own.id == other.id:
        return Point(moved.state, fits=True), ()
    found: list[Departed] = []
    if before is None or (before.fits and not before.state.ended and plan_of(event) is None):
        found += _compared(own, moved, other, None if before is None else before.state, event)
    misfit = None if moved.state.ended else _misfit(other, moved.state)
    if misfit is not None:
        found = [
            each for each in found if each.step is None or each.step in other
        ]  # that it lacks the step is said now
        found.append(Departed(Departure.UNFIT, misfit.step, rejection=misfit))
    return Point(moved.state, fits=misfit is None), tuple(found)


def _misfit(other: Plan, state: SagaState) -> Rejection | None:
    taken = transition(other, state, PlanChanged(state.at, other.id))
    return taken.failure() if isinstance(taken, Failure) else None


def _compared(own: Plan, moved: Transition, other: Plan, before: SagaState | None, event: Event) -> Iterator[Departed]:
    told = _replace(event, plan=other.id) if isinstance(event, Started) else event
    decision = transition(other, None if before is None else _replace(before, plan=other.id), told)
    if isinstance(decision, Failure):
        rejection = decision.failure()
        yield Departed(Departure.REFUSED, rejection.step, rejection=rejection)
        return
    yield from _differences(own, moved, other, decision.unwrap(), step_of(event))


def _differences(own: Plan, was: Transition, other: Plan, now: Transition, about: StepId | None) -> Iterator[Departed]:
    """The nearest cause alone of what differs: the rest follows from it. The step that the event is about is asked first."""
    before = {each.step_id: each.status for each in report_of(own, was.state)}
    after = {each.step_id: each.status for each in report_of(other, now.state)}
    for step in sorted({**before, **after}, key=lambda step: step != about):
        here, there = before.get(step, StepStatus.PENDING), after.get(step, StepStatus.PENDING)
        if here is not there:
            yield Departed(Departure.OTHER_STEP, step, here, there if step in other else "")
            return
    for step in (*now.needs, *was.needs):
        if (step in was.needs) is not (step in now.needs):
            yield Departed(Departure.OTHER_START, step, now="begins" if step in now.needs else "does not begin")
            return
    status, here_status = project(own, was.state).status, project(other, now.state).status
    if status is not here_status:
        yield Departed(Departure.OTHER_STATUS, None, status, here_status)
    elif was.state != _replace(now.state, plan=own.id):
        yield Departed(Departure.OTHER_MOMENTS)


def by_plan(plan: Plan, event: Event) -> Event:
    """The event, naming that plan if it names one: for a journal whose own plan is not known any more."""
    return _replace(event, plan=plan.id) if isinstance(event, Started | PlanChanged) else event


def folds_to(state: SagaState, stored: SagaState) -> bool:
    """Whether a journal that was folded to `state` is that of the stored one, by any plan."""
    return _replace(state, plan=stored.plan) == stored
