"""Where an event leads that only lets others start: found out once, by the foresight, and answered in short from there.

Nearly every event of nearly every saga is the success of a step while nothing has gone wrong. `chain.py`, `items.py` and
`branches.py` find out where that leads. The inputs of what starts are computed in the light of it, and then `go_ahead`
gives exactly what the general rules would, or None where it does not know.
"""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.core.effects import Release, RunStep, Transition
from saga_fn.core.events import Binding, Bound, StepSucceeded
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.state import Attempts, Doubt, FannedOut, Goal, Rest, Running, SagaState, StepState, Succeeded

GIVEN_UP: Final = (Release(None),)
"""The effects of a saga that has ended."""
_NEVER: Final = Moment(0)
_OF_THE_LIST: Final = Digest(b"")
"""The fingerprint of an item's input: the list has one for all."""


class Ahead(msgspec.Struct, frozen=True, gc=False):
    """Where an event leads."""

    known: SagaState
    """The saga once the event has happened, without what starts then."""
    needs: tuple[StepId, ...]
    """The steps, or the item, that start as soon as they have their inputs."""
    is_all: bool = False
    """Whether the event is the success of a step, and nothing else comes of it. Then `go_ahead` answers."""
    place: int = -1
    """Where among the steps the one goes that starts; -1: they may be several, and go where the plan has them."""
    whole: FannedOut | None = None
    """The list, if it is an item that starts."""
    rest: tuple[StepState, ...] | None = None
    """The steps of `known` that have not succeeded, where that was asked."""


def go_ahead(plan: Plan, event: StepSucceeded, ahead: Ahead) -> Transition | None:
    """The answer to the event, with whose inputs the others start."""
    known, needs, inputs, place = ahead.known, ahead.needs, event.inputs, ahead.place
    if not needs:
        rest = None if ahead.rest is None else Rest(known.steps, ahead.rest)
        return Transition(known, (), GIVEN_UP if known.goal is Goal.COMPLETED else (), (), (), None, rest)
    if len(inputs) != len(needs):
        return None
    steps = known.steps
    if place >= 0:  # as nearly always: one alone
        running = _begun(plan, known, needs[0], inputs[0], ahead.whole)
        if running is None:
            return None
        now, rest = (*steps[:place], running, *steps[place:]), None
        if ahead.rest is not None:
            behind = [step for step in steps[place:] if type(step) is not Succeeded]
            rest = Rest(now, (*ahead.rest[: len(ahead.rest) - len(behind)], running, *behind))
        return Transition(
            after(known, known.rev, known.at, now), (), (), (RunStep(running.step, 1, 0),), (), None, rest
        )
    begun: list[Running] = []
    for step, binding in zip(needs, inputs, strict=True):
        running = _begun(plan, known, step, binding)
        if running is None:
            return None
        begun.append(running)
    index = plan.index
    now = tuple(sorted((*steps, *begun), key=lambda each: index[each.step]))
    runs = tuple([RunStep(each.step, 1, 0) for each in begun])
    return Transition(after(known, known.rev, known.at, now), (), (), runs)


def _begun(
    plan: Plan, known: SagaState, step: StepId, binding: Binding, whole: FannedOut | None = None
) -> Running | None:
    if type(binding) is not Bound or binding.step != step:
        return None
    planned, digest = plan.step(step), binding.digest
    if whole is not None:
        if digest != whole.digest:  # it is of another list
            return None
        digest = _OF_THE_LIST
    since = known.at if planned.retry.within else _NEVER
    attempts = Attempts(1, 0, Doubt.NONE, digest, 0, len(known.events), _NEVER, since)
    return Running(step, attempts, planned.transactional)


def after(state: SagaState, rev: int, at: Moment, steps: tuple[StepState, ...], goal: Goal = Goal.FORWARD) -> SagaState:
    """The saga with these steps, after the success of one that goes forward."""
    return SagaState(  # by place: names cost ten times as much
        rev, at, goal, steps, state.events, 0, 0, False, _NEVER, state.deadline, state.buffered, plan=state.plan
    )
