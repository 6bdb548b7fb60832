"""The consequences of taking a saga back to a step: what would run again, and which effects it would know nothing of any more.

It undoes nothing. So each effect that is in the world, or may be, has to be named by the operator who asks.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.state import (
    COMMITTED,
    EXECUTING,
    UNDOING,
    Rewound,
    SagaState,
    Settled,
    Skipped,
    StepState,
    Succeeded,
    UndoFailed,
    Undoing,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
)

_Undo: TypeAlias = Undoing | UndoRetrying | UndoWaiting | UndoParked | UndoFailed
"""The states of steps whose undoing has begun, and is not over."""


class Rewinding(msgspec.Struct, frozen=True):
    """The consequences of taking a saga back to one step."""

    again: tuple[StepId, ...]
    """The steps of the plan that have begun and will run again under another key, in the plan's order; waits wait again."""
    forgotten: tuple[StepId, ...]
    """Those of them whose effects are in the world, or may be: they have to be named."""


def rewinding(plan: Plan, state: SagaState, step: StepId, at: Moment) -> Rewinding | Rejection:
    """The consequences of taking the saga back to before the step, or why it cannot be."""
    if step not in plan:
        return Rejection(Refusal.UNKNOWN_STEP, step)
    if step not in plan.index:
        return Rejection(Refusal.ITEM_ALONE, step)
    span = {step} | plan.descendants[step]
    begun = {each.step: each for each in state.steps if type(each) is not Rewound and plan.owner(each.step) in span}
    if step not in begun:
        return Rejection(Refusal.NOTHING_TO_REWIND, step)
    for each in state.steps:
        if each.step not in begun:
            if type(each) in UNDOING:  # it would stand beside what goes forward
                return Rejection(Refusal.COMPENSATION_BEGUN, each.step)
            continue
        if type(each) in EXECUTING:
            return Rejection(Refusal.BEING_RUN, each.step)
        if _may_run_on(each, at):
            return Rejection(Refusal.MAY_STILL_RUN, each.step)
    left = [each for each in begun.values() if _is_left(plan, each)]
    if plan.pivot is not None and (pivot := begun.get(plan.pivot)) is not None:
        if type(pivot) in COMMITTED:
            return Rejection(Refusal.PAST_PIVOT, plan.pivot)
        if pivot in left:
            return Rejection(Refusal.IN_DOUBT, plan.pivot)
    owners = {plan.owner(each.step) for each in left}
    again = tuple(planned.step for planned in plan.steps if planned.step in begun)
    return Rewinding(again, tuple(each for each in again if each in owners))


def rewound_at(plan: Plan, state: SagaState, step: StepId) -> int:
    """The latest journal entry that took the step, or the fan-out of the item, back; 0 if none did.

    No compensation outlives such an entry. So those under one number are of one and the same execution of the step.
    """
    owner = plan.owner(step) if state.rewound else step
    return next((each.seq for each in state.rewound if each.step == owner), 0)


def begun_before(plan: Plan, state: SagaState) -> tuple[StepId, ...]:
    """The steps that had begun when an operator took the saga back to before them, in the plan's order.

    The journal alone knows what they had done by then, and no compensation undoes it.
    """
    back = {each.step for each in state.rewound}
    return tuple(each.step for each in plan.steps if each.step in back and each.kind is StepKind.STEP) if back else ()


def _may_run_on(step: StepState, at: Moment) -> bool:
    return isinstance(step, Unfinished | _Undo) and step.attempts.may_run_until > at


def _is_left(plan: Plan, step: StepState) -> bool:
    """Whether an effect of the step is in the world, or may be: a compensation of it has not come to its end."""
    if isinstance(step, Succeeded | Settled):
        return plan.step(step.step).kind is StepKind.STEP
    if isinstance(step, Unfinished):
        return bool(step.attempts.doubt)
    if isinstance(step, Skipped):
        return bool(step.doubt)
    return isinstance(step, _Undo)
