"""Foresight: which inputs an event is going to need, so that it can carry them and is folded once."""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.core.ahead import Ahead
from saga_fn.core.branches import after_branch
from saga_fn.core.chain import after_success
from saga_fn.core.events import Event, Resumed, Started, StepSucceeded
from saga_fn.core.facts import next_steps
from saga_fn.core.fan_out import ConcurrencySlots, gathered
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.items import after_item
from saga_fn.core.plan import Plan
from saga_fn.core.state import DONE, UNDISTURBED, Goal, Rest, Retrying, SagaState, Sleeping, StepState, Succeeded

_PAUSED: Final = DONE | {Retrying, Sleeping}


def foresee(plan: Plan, state: SagaState, event: Event, known: Rest | None = None) -> Ahead | None:
    """Predict which inputs the event needs, and which outputs it makes known. None if there is no prediction.

    An optimisation: with these inputs on it the event is folded once. If the prediction is incomplete, the fold asks for
    the rest. Only the usual course is predicted: a success after which other steps start, and a pause that is over.
    `known` is what is known of the steps of `state`.
    """
    if state.pause is not None and state.pause.holds:
        return None
    if type(event) is StepSucceeded:
        return straight_ahead(plan, state, event, known) or _after_success(plan, state, event.step)
    if type(event) is Resumed and not event.takeover:
        return _after_pause(plan, state, Moment(max(state.at, event.at)))
    return None


def straight_ahead(plan: Plan, state: SagaState, event: StepSucceeded, known: Rest | None = None) -> Ahead | None:
    """Where a success leads; None if more may come of it than that others start."""
    if plan.is_chain:
        return after_success(plan, state, event)
    return after_item(plan, state, event, known) if plan.concurrencies else after_branch(plan, state, event)


def foresee_start(plan: Plan, event: Started) -> tuple[SagaState, tuple[StepId, ...]]:
    """The same of a start. If no input will be needed, nothing can run at once."""
    return SagaState(0, event.at, plan=event.plan), () if event.delay else _with_input(plan, plan.roots)


def _after_success(plan: Plan, state: SagaState, step: StepId) -> Ahead | None:
    if state.goal is not Goal.FORWARD or not UNDISTURBED.issuperset(map(type, state.steps)):
        return None
    begun: dict[StepId, StepState] = {each.step: each for each in state.steps}
    begun[step] = Succeeded(step, state.rev + 1)
    if plan.concurrencies:
        begun.update((whole.step, whole) for whole in gathered(plan, begun))
    needs = _with_input(plan, next_steps(plan, begun, at_once=True))
    if plan.concurrencies and needs:
        needs = tuple(filter(ConcurrencySlots(plan, begun.values()).take, needs))
    return Ahead(msgspec.structs.replace(state, steps=tuple(begun.values()), latest_event_seq=0), needs)


def _after_pause(plan: Plan, state: SagaState, at: Moment) -> Ahead | None:
    """The same of a saga whose steps are done, wait for their next attempt, or sleep; no event is kept for a wait."""
    if state.goal is not Goal.FORWARD or not _PAUSED.issuperset(map(type, state.steps)):
        return None
    if state.begins_at > at or state.buffered or (state.deadline is not None and state.deadline <= at):
        return None
    if plan.pivot is not None or plan.concurrencies:
        return None
    begun: dict[StepId, StepState] = {each.step: each for each in state.steps}
    again: list[StepId] = []
    for each in state.steps:
        if type(each) is Retrying and each.wake <= at:
            again.append(each.step)
        elif type(each) is Sleeping and each.wake <= at:
            begun[each.step] = Succeeded(each.step, state.rev + 1)
    needs = (*again, *_with_input(plan, next_steps(plan, begun)))
    return Ahead(msgspec.structs.replace(state, steps=tuple(begun.values())), needs)


def _with_input(plan: Plan, steps: tuple[StepId, ...]) -> tuple[StepId, ...]:
    return tuple([step for step in steps if plan.step(step).needs_input]) if plan.waits else steps
