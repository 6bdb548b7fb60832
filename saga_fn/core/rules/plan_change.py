"""Plans that change under a saga: which new plan fits what it has already done."""

from __future__ import annotations

from typing import assert_never

from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.events import PlanChanged
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.pivot import can_turn_back
from saga_fn.core.state import (
    Exhausted,
    Gathered,
    Goal,
    NotTaken,
    Parked,
    Probing,
    Retrying,
    Running,
    Skipped,
    Sleeping,
    Spread,
    StepState,
    Succeeded,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unknown,
    Waiting,
    is_done,
)


def plan_changed(fold: Fold, event: PlanChanged) -> Rejection | None:
    """The saga goes on by the new plan, if that knows all that has begun and leaves a way in the saga's direction."""
    plan = fold.plan
    known = event.plan == plan.id and all(step.step in plan and _fits(plan, step) for step in fold.before.steps)
    if not known or not (in_order(fold) if fold.goal is Goal.FORWARD else can_turn_back(fold)):
        return Rejection(Refusal.PLAN_MISMATCH)
    return None


def in_order(fold: Fold) -> bool:
    """Whether everything that the begun steps follow is done, by this plan: only then is there a way forward.

    What was not taken has no output to give to those that now take one for granted.
    """
    done = {step.step for step in fold.before.steps if is_done(step)}
    return all(
        done.issuperset(fold.plan.step(step.step).after)
        and (fold.plan.step(step.step).conditional or not isinstance(step, NotTaken))
        for step in fold.before.steps
    )


def _fits(plan: Plan, step: StepState) -> bool:
    """Whether by this plan the step may be what it is: a wait or not, fanned out or done as a whole."""
    fans_out = step.step in plan.widths
    match step:
        case Waiting():
            return plan.step(step.step).kind is StepKind.EVENT
        case Sleeping():
            return plan.step(step.step).kind is StepKind.SLEEP
        case (
            Running() | Unknown() | Probing() | Undoing() | UndoRetrying() | UndoWaiting() | UndoParked() | UndoFailed()
        ):
            return plan.step(step.step).kind is StepKind.STEP and not fans_out
        case Retrying() | Parked():
            return not (fans_out and step.tries.attempt)
        case Exhausted() | Succeeded() | Undone():
            return not fans_out
        case Spread() | Gathered():
            return fans_out
        case Skipped() | NotTaken():
            return True
        case _:
            assert_never(step)
