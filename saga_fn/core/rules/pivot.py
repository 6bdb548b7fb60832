"""The point of no return: until it is done a failure turns the saga back, from then on a person is asked."""

from __future__ import annotations

from saga_fn.core.facts import to_probe
from saga_fn.core.ids import StepId
from saga_fn.core.plan import OnUnknown
from saga_fn.core.rules.fold import Fold
from saga_fn.core.state import (
    COMMITTED,
    Attempts,
    Doubt,
    FailedForGood,
    Goal,
    NotTaken,
    Parked,
    ParkReason,
    Retrying,
    StepState,
    Unfinished,
    Unknown,
)


def failed_for_good(fold: Fold, step: StepId, attempts: Attempts) -> StepState:
    """The step has failed for good: the saga turns back, where there is a way back.

    A person is asked first about the pivot, and about what is to be left to a person, if that may have run.
    """
    if is_past(fold):
        return Parked(step, attempts, ParkReason.PAST_PIVOT)
    unknown = fold.plan.step(step).on_unknown is OnUnknown.PARK and attempts.doubt is Doubt.MAY_HAVE_RUN
    if unknown or (step == fold.plan.pivot and attempts.doubt):
        return Parked(step, attempts, ParkReason.OUTCOME_UNKNOWN)
    return FailedForGood(step, attempts)


def enforce_pivot(fold: Fold) -> None:
    """If the pivot succeeds during a rollback, the saga goes forward again. While it is in doubt, an operator is asked first."""
    turned = fold.goal in (Goal.ROLLBACK, Goal.HALT)
    if is_past(fold):
        fold.deadline = None  # there is no way back any more
        if turned:
            fold.goal = Goal.FORWARD
    elif turned and (waiting := waiting_pivot(fold)) is not None and waiting.attempts.doubt:
        fold.put(Parked(waiting.step, waiting.attempts, ParkReason.OUTCOME_UNKNOWN))
        fold.goal = Goal.FORWARD


def is_past(fold: Fold) -> bool:
    """Whether the plan has a pivot, and it is done."""
    return type(_pivot(fold)) in COMMITTED


def is_in_doubt(fold: Fold) -> bool:
    """Whether the pivot may have run, and no operator has said if it has."""
    found = _pivot(fold)
    return isinstance(found, Unfinished) and bool(found.attempts.doubt)


def waiting_pivot(fold: Fold) -> Retrying | Unknown | Parked | None:
    """The pivot, if it has begun, is neither running nor at its end, and nothing is going to find out about it."""
    found = _pivot(fold)
    return found if isinstance(found, Retrying | Unknown | Parked) and not to_probe(found, fold.plan) else None


def can_turn_back(fold: Fold) -> bool:
    """Whether what by this plan is the pivot has not run, so that the way back is open."""
    pivot = _pivot(fold)
    return pivot is None or isinstance(pivot, FailedForGood | NotTaken)


def _pivot(fold: Fold) -> StepState | None:
    """The state of the pivot; None if there is none, or it has not begun."""
    return None if fold.plan.pivot is None else fold.steps.get(fold.plan.pivot)
