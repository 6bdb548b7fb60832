"""Plans that change under a saga: which new plan fits what it has already done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

from saga_fn.core.effects import Misfit, Refusal, Rejection
from saga_fn.core.events import PlanChanged
from saga_fn.core.plan import OnUnknown, Plan, StepKind
from saga_fn.core.rules.attempts import soonest
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.pivot import can_turn_back
from saga_fn.core.rules.waits import wait_on
from saga_fn.core.state import (
    FailedForGood,
    FannedOut,
    Goal,
    Joined,
    NotTaken,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Rewound,
    Running,
    Settled,
    Skipped,
    Sleeping,
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

_SETTLED: Final = frozenset({OnUnknown.PROBE, OnUnknown.UNDO, OnUnknown.PARK})
"""The ways by which what may have run is not simply repeated."""


def plan_changed(fold: Fold, event: PlanChanged) -> Rejection | None:
    """The saga goes on by the new plan, if that knows all that has begun and leaves a way in the saga's direction.

    So does what was parked because of a plan that did not fit.
    """
    if event.plan != fold.plan.id:
        return Rejection(Refusal.PLAN_MISMATCH)
    for step in fold.before.steps:
        if step.step not in fold.plan:
            return Rejection(Refusal.PLAN_MISMATCH, step.step, Misfit.GONE)
        if not _fits(fold.plan, step):
            return Rejection(Refusal.PLAN_MISMATCH, step.step, Misfit.OTHER_KIND)
    if fold.goal is Goal.FORWARD:
        if (disorder := out_of_order(fold, fold.before.steps)) is not None:
            return disorder
    elif not can_turn_back(fold):
        return Rejection(Refusal.PLAN_MISMATCH, fold.plan.pivot, Misfit.PIVOT)
    for step in fold.before.steps:
        if isinstance(step, Parked | UndoParked) and step.why is ParkReason.PLAN_CHANGED:
            fold.put(_taken_up(fold, step))
        elif isinstance(step, Retrying) and step.attempts.doubt and fold.plan.step(step.step).on_unknown in _SETTLED:
            # It is not repeated before that is settled as this plan says.
            fold.put(Unknown(step.step, step.attempts, step.wake, set_at=step.set_at))
    return None


def out_of_order(fold: Fold, steps: Iterable[StepState]) -> Rejection | None:
    """Find what leaves no way forward by this plan: a begun step that follows one which is not done.

    A step that was not taken has no output to give to those that now take one for granted.
    """
    steps = [step for step in steps if type(step) is not Rewound]
    done = {step.step for step in steps if is_done(step)}
    for step in steps:
        planned = fold.plan.step(step.step)
        for needed in planned.after:
            if needed not in done:
                return Rejection(Refusal.PLAN_MISMATCH, step.step, Misfit.OUT_OF_ORDER, needed)
        if isinstance(step, NotTaken) and not planned.conditional:
            return Rejection(Refusal.PLAN_MISMATCH, step.step, Misfit.NOT_TAKEN)
    return None


def _taken_up(fold: Fold, step: Parked | UndoParked) -> StepState:
    """The step as it was before a plan that did not fit parked it; what has come due since is due now."""
    match step:
        case UndoParked():
            return UndoRetrying(step.step, step.seq, step.attempts, soonest(fold, step.attempts), fold.at)
        case Parked(before=Waiting() as waiting):
            return wait_on(fold, waiting)
        case Parked(before=Sleeping() as sleeping):
            return sleeping
        case Parked(attempts=attempts) if attempts.doubt:
            return Unknown(step.step, attempts)
        case Parked(attempts=attempts):
            return Retrying(step.step, attempts, soonest(fold, attempts), fold.at)
        case _:
            assert_never(step)


def _fits(plan: Plan, step: StepState) -> bool:
    """Whether by this plan the step may be what it is: a wait or not, fanned out or done as a whole."""
    fans_out = step.step in plan.concurrencies
    match step:
        case Waiting():
            return plan.step(step.step).kind is StepKind.EVENT
        case Sleeping():
            return plan.step(step.step).kind is StepKind.SLEEP
        case (
            Running() | Unknown() | Probing() | Undoing() | UndoRetrying() | UndoWaiting() | UndoParked() | UndoFailed()
        ):
            return plan.step(step.step).kind is StepKind.STEP and not fans_out
        case Parked(before=Waiting() | Sleeping() as before):
            return _fits(plan, before)
        case Retrying() | Parked():
            return not (fans_out and step.attempts.attempt)
        case FailedForGood() | Succeeded() | Settled() | Undone():
            return not fans_out
        case FannedOut() | Joined():
            return fans_out
        case Skipped() | NotTaken() | Rewound():
            return True
        case _:
            assert_never(step)
