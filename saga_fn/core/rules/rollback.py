"""The way back: what still runs comes to its end, then compensations undo what was done, until nothing is left to do."""

from __future__ import annotations

from typing import Final, assert_never

from saga_fn.core.effects import Rejection
from saga_fn.core.events import CompensationFailed, CompensationSucceeded, FailureKind
from saga_fn.core.facts import blocked_until, to_ask, to_probe, undoable
from saga_fn.core.fan_out import ConcurrencySlots
from saga_fn.core.ids import Micros, Moment, StepId
from saga_fn.core.leftovers import verdict
from saga_fn.core.plan import Plan
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.attempts import begun, cut_short, delay, failed, next_attempt
from saga_fn.core.rules.fold import Fold
from saga_fn.core.state import (
    ABIDING,
    UNDOING,
    Attempts,
    FailedForGood,
    Goal,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    SagaState,
    Settled,
    StepState,
    Succeeded,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unknown,
)

_GOES_ON: Final[frozenset[type[object]]] = frozenset(
    {Running, Probing, Parked, Undoing, UndoRetrying, UndoWaiting, UndoParked}
)
"""The states of steps of which something has to become before the rollback can end."""


def turn_back(fold: Fold) -> None:
    """From now on the saga goes no further."""
    fold.goal = Goal.ROLLBACK if fold.plan.data.compensate_on_failure else Goal.HALT


def go_back(fold: Fold) -> None:
    """Give up what has not run, undo what can be undone now, and end if there is nothing more to do.

    A compensation is begun by an owner alone: no other process could run it, and its number would be passed over.
    """
    plan = fold.plan
    places = ConcurrencySlots(plan, fold.steps.values()) if plan.concurrencies else None
    asks = fold.goal is Goal.ROLLBACK and plan.has_unknown_policies
    for was in tuple(fold.steps.values()):
        step: StepState = was
        if type(step) is Running and plan.data.cancel_siblings and step.step != plan.pivot:
            step = cut_short(fold, step)
            fold.put(step)
        if asks and to_ask(step, plan):
            fold.put(_left_to_a_person(fold, step))
        elif type(step) is Retrying or type(step) is Parked:
            fold.put(FailedForGood(step.step, step.attempts))
        elif type(step) in ABIDING:
            fold.put(FailedForGood(step.step, Attempts()))
        elif (
            type(step) is UndoRetrying
            and step.wake <= fold.at
            and not fold.idle
            and (places is None or places.take(step.step))
        ):
            fold.put(_undoing(fold, step.step, step.seq, step.attempts))
    draft = fold.draft()
    to_undo = undoable(plan, draft)
    if to_undo:
        for undo in to_undo if not fold.idle else ():
            fold.put(_undoing(fold, undo.step, *first_undo(undo)))
        return
    if _GOES_ON.isdisjoint(map(type, draft.steps)) and not _is_to_probe(plan, draft) and not blocked_until(draft):
        fold.goal = Goal.FAILED if fold.goal is Goal.HALT else verdict(plan, draft)


def _left_to_a_person(fold: Fold, step: Unknown | Parked | Retrying) -> StepState:
    """Nothing is undone before the person has decided; what has begun to be undone, by an earlier plan, goes on."""
    if any(type(other) in UNDOING for other in fold.steps.values()):
        return FailedForGood(step.step, step.attempts)
    return Parked(step.step, step.attempts, ParkReason.OUTCOME_UNKNOWN)


def _undoing(fold: Fold, step: StepId, seq: int, attempts: Attempts) -> Undoing:
    return Undoing(step, seq, next_attempt(begun(fold, attempts, fold.plan.step(step).undo_retry)))


def first_undo(step: Succeeded | Settled | Unknown | FailedForGood) -> tuple[int, Attempts]:
    """Where the output of the step is that is to be undone, and the tries of that to begin with.

    A step that only may have run has no output. Its input, and that of a step that a person has settled, is told by the
    fingerprint it was started with.
    """
    match step:
        case Succeeded():
            return step.seq, Attempts()
        case Settled():
            return step.seq, Attempts(digest=step.digest)
        case Unknown() | FailedForGood():
            return 0, Attempts(digest=step.attempts.digest)
        case _:
            assert_never(step)


def _is_to_probe(plan: Plan, state: SagaState) -> bool:
    """Whether the rollback is to find out about a step before it can end."""
    if state.goal is not Goal.ROLLBACK or not plan.has_unknown_policies:
        return False
    return any(to_probe(step, plan) for step in state.steps)


def compensation_succeeded(fold: Fold, event: CompensationSucceeded) -> Rejection | None:
    """The step is undone."""
    undoing = fold.end(Undoing, event.step, event.attempt)
    if isinstance(undoing, Rejection):
        return undoing
    fold.put(Undone(event.step, undoing.seq))
    return None


def compensation_failed(fold: Fold, event: CompensationFailed) -> Rejection | None:
    """The compensation is repeated, parked, or leaves the step over."""
    undoing = fold.end(Undoing, event.step, event.attempt)
    if isinstance(undoing, Rejection):
        return undoing
    if event.kind is FailureKind.UNREADABLE:
        fold.put(UndoParked(event.step, undoing.seq, undoing.attempts, ParkReason.PAYLOAD_UNREADABLE))
    elif event.kind is FailureKind.CONFLICTS:
        fold.put(UndoParked(event.step, undoing.seq, undoing.attempts, ParkReason.CONFLICTS))
    else:
        fold.put(after_failed_undo(fold, undoing, event.jitter_draw, event.after))
    return None


def after_failed_undo(
    fold: Fold, step: Undoing | UndoWaiting, jitter_draw: float = 0.0, wish: Micros | None = None
) -> StepState:
    """The state of the step once its compensation has failed, or has waited in vain."""
    planned = fold.plan.step(step.step)
    attempts = failed(step.attempts)
    pause = delay(fold, planned.undo_retry, attempts, jitter_draw, wish)
    if pause is None and planned.undo_parks:
        return UndoParked(step.step, step.seq, attempts, ParkReason.UNDO_FAILED)
    if pause is None:
        return UndoFailed(step.step, step.seq, attempts)
    if fold.rev >= JOURNAL_LIMIT:
        return UndoParked(step.step, step.seq, attempts, ParkReason.TOO_LONG)
    if pause == 0 and not fold.idle:
        return Undoing(step.step, step.seq, next_attempt(attempts))
    return UndoRetrying(step.step, step.seq, attempts, Moment(fold.at + pause), fold.at)
