"""A doubt about a step, or an undo that does not come to its end, that an operator ends by what is so in the world."""

from __future__ import annotations

from typing import TypeAlias

from msgspec.structs import replace

from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.events import Finding, StepSettled
from saga_fn.core.facts import owes_undo
from saga_fn.core.ids import Digest
from saga_fn.core.leftovers import verdict
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.pivot import is_in_doubt, is_past
from saga_fn.core.rules.unknown_outcome import not_done
from saga_fn.core.state import (
    UNDOING,
    UNKNOWN_INPUT,
    Doubt,
    FailedForGood,
    FannedOut,
    Goal,
    Parked,
    ParkReason,
    Retrying,
    Settled,
    Skipped,
    StepState,
    Succeeded,
    UndoFailed,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unknown,
)

_Undo: TypeAlias = UndoFailed | UndoRetrying | UndoWaiting | UndoParked
_Open: TypeAlias = Unknown | Retrying | Parked | FailedForGood


def step_settled(fold: Fold, event: StepSettled) -> Rejection | None:
    """The step is what the operator says. Nothing is tried again by that: a saga waits for a person as it did.

    A rollback goes on past an undo that is over now. The end of a saga that has FAILED is judged again by what is left, but
    past its pivot, where it stays FAILED: the pivot's effect is there.
    """
    if event.step not in fold.plan:
        return Rejection(Refusal.UNKNOWN_STEP, event.step)
    found = fold.steps.get(event.step)
    if isinstance(found, _Undo | _Open) and found.attempts.may_run_until > fold.at:
        return Rejection(Refusal.MAY_STILL_RUN, event.step)
    now = _settled(fold, found, event.finding)
    if now is None:
        return Rejection(Refusal.NOTHING_TO_SETTLE, event.step)
    if isinstance(now, Rejection):
        return now
    fold.put(now)
    if isinstance(now, Settled):
        fold.latest_event_seq = 0
    if isinstance(found, _Undo):
        fold.goal = Goal.ROLLBACK
    elif fold.before.ended and not is_past(fold):
        fold.goal = verdict(fold.plan, fold.draft())
    return None


def _settled(fold: Fold, found: StepState | None, finding: Finding) -> StepState | Rejection | None:
    """The step by that finding; None if nothing of it is open that the finding could answer."""
    match found:
        case UndoFailed() | UndoRetrying() | UndoWaiting() | UndoParked():
            over = finding is Finding.UNDONE or (finding is Finding.NEVER_RAN and not found.seq)
            return Undone(found.step, found.seq) if over else None
        case Skipped():
            return replace(found, doubt=Doubt.NONE) if found.doubt and finding is not Finding.DONE else None
        case Unknown() | Retrying() | Parked() | FailedForGood():
            return _answered(fold, found, finding)
        case Succeeded() | Settled() if finding is Finding.UNDONE and fold.before.ended and owes_undo(fold.plan, found):
            if is_in_doubt(
                fold
            ):  # whether the saga is past its pivot is said first: a pivot is not done beside what is undone
                return Rejection(Refusal.IN_DOUBT, fold.plan.pivot)
            return Undone(found.step, found.seq)
        case _:
            return None


def _started_with(fold: Fold, found: _Open) -> Digest:
    """The fingerprint of what the step was started with: of an item that of its list, which is not kept once it is gathered."""
    whole = fold.steps.get(fold.plan.owner(found.step))
    return found.attempts.digest or (whole.digest if isinstance(whole, FannedOut) else UNKNOWN_INPUT)


def _answered(fold: Fold, found: _Open, finding: Finding) -> StepState | Rejection | None:
    attempts = found.attempts
    if not attempts.doubt or (finding is Finding.NEVER_RAN and attempts.doubt is Doubt.OUTPUT_LOST):
        return None
    if finding is Finding.DONE:
        if found.step == fold.plan.pivot and not UNDOING.isdisjoint(map(type, fold.steps.values())):
            return Rejection(Refusal.COMPENSATION_BEGUN, found.step)
        return Settled(found.step, fold.rev, _started_with(fold, found))
    attempts = replace(attempts, doubt=Doubt.NONE)
    if finding is Finding.UNDONE:  # the participant answers a repeat under the old key as if the step were done
        attempts = replace(attempts, generation=attempts.generation + 1)
    if fold.goal is not Goal.FORWARD:
        return FailedForGood(found.step, attempts)
    match found:
        case Parked(why=ParkReason.OUTCOME_UNKNOWN | ParkReason.OUTPUT_LOST):
            return Parked(found.step, attempts, ParkReason.SETTLED)
        case Unknown():
            return not_done(fold, found.step, attempts)
        case _:
            return replace(found, attempts=attempts)
