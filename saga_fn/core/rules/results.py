"""How a step's execution ends: with a result, or with a failure that is repeated, settled, parked or final."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from saga_fn.core.effects import Rejection
from saga_fn.core.events import FailureKind, StepFailed, StepSucceeded
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import OnUnknown, PlannedStep
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.attempts import delay, delay_in_doubt, doubted, doubtful, failed, running
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.pivot import failed_for_good
from saga_fn.core.state import (
    Attempts,
    Doubt,
    Goal,
    Parked,
    ParkReason,
    Retrying,
    Running,
    StepState,
    Succeeded,
    Unknown,
)


def step_succeeded(fold: Fold, event: StepSucceeded) -> Rejection | None:
    """The step is done."""
    running = fold.end(Running, event.step, event.attempt)
    if isinstance(running, Rejection):
        return running
    succeed(fold, event.step)
    return None


def succeed(fold: Fold, step: StepId) -> None:
    """The step has run, and this entry of the journal holds its output; the step has used up the latest event."""
    fold.put(Succeeded(step, fold.rev))
    fold.latest_event_seq = 0


def step_failed(fold: Fold, event: StepFailed) -> Rejection | None:
    """The step is repeated, settled, parked, or has failed for good."""
    running = fold.end(Running, event.step, event.attempt)
    if isinstance(running, Rejection):
        return running
    fold.put(_after_failure(fold, event, running))
    return None


def _after_failure(fold: Fold, event: StepFailed, running: Running) -> StepState:
    planned, attempts = fold.plan.step(event.step), running.attempts
    kind = _meaning(event, running)
    match kind:
        case FailureKind.OUTPUT_LOST:
            if not running.transactional:  # else it is rolled back
                attempts = replace(attempts, doubt=Doubt.OUTPUT_LOST)
            return Parked(event.step, attempts, ParkReason.OUTPUT_LOST)
        case FailureKind.CONFLICTS:
            return Parked(event.step, attempts, ParkReason.CONFLICTS)
        case FailureKind.UNREADABLE:
            return Parked(event.step, attempts, ParkReason.PAYLOAD_UNREADABLE)
        case FailureKind.BUSINESS_ERROR:
            # The answer to this request: the one before it may still be on its way, or have gone through.
            settled = replace(attempts, doubt=Doubt.NONE) if planned.refusal_settles else attempts
            return failed_for_good(fold, event.step, failed(settled))
        case FailureKind.FATAL:
            return failed_for_good(fold, event.step, failed(attempts))
        case FailureKind.UNKNOWN:
            attempts = failed(doubtful(attempts))
            if planned.on_unknown is not OnUnknown.REPEAT:
                return Unknown(event.step, attempts)
        case FailureKind.ERROR:
            attempts = failed(attempts)
        case FailureKind.INTERRUPTED:  # no failure of its own
            pass
        case _:
            assert_never(kind)
    if fold.goal is not Goal.FORWARD:
        return failed_for_good(fold, event.step, attempts)
    return _repeated(fold, event, planned, attempts, kind)


def _meaning(event: StepFailed, running: Running) -> FailureKind:
    """The failure's kind. A word on a transaction says nothing of an execution that has none: that may have run."""
    of_transactions = event.kind is FailureKind.INTERRUPTED or event.kind is FailureKind.CONFLICTS
    return FailureKind.UNKNOWN if of_transactions and not running.transactional else event.kind


def _repeated(fold: Fold, event: StepFailed, planned: PlannedStep, attempts: Attempts, kind: FailureKind) -> StepState:
    """The step once it has failed: attempted again by its retry policy, or by the budget for what may have run.

    By the latter, too, what was cut short in a transaction, though it has surely not been done.

    A step that may have run is repeated by the latter, so that it ends in doubt only when that is used up. An attempt that has
    surely not run goes by the policy as far as that reaches; it settles no doubt, so that in doubt the budget for that
    carries on. That of a step without a policy serves, too, what only asks to be tried again later.

    A doubt that an earlier plan has left to a repeat is settled first, if this plan says otherwise.
    """
    if attempts.doubt and planned.on_unknown in (OnUnknown.PROBE, OnUnknown.UNDO):
        return Unknown(event.step, attempts)
    pause = None
    if kind is FailureKind.ERROR:
        pause = delay(fold, planned.retry, attempts, event.jitter_draw, event.after)
    was_cut = kind is FailureKind.INTERRUPTED or (bool(attempts.doubt) and planned.on_unknown is OnUnknown.REPEAT)
    if pause is None and (was_cut or (event.after is not None and not planned.own_retry)):
        attempts = doubted(fold, attempts)
        pause = delay_in_doubt(fold, planned.unknown_retry, attempts, event.jitter_draw, event.after)
    if pause is None:
        return failed_for_good(fold, event.step, attempts)
    if fold.rev >= JOURNAL_LIMIT:
        return Parked(event.step, attempts, ParkReason.TOO_LONG)
    if attempts.events != len(fold.events):  # an event that this attempt has not seen is what the next one waits for
        return Retrying(event.step, attempts, fold.at, fold.at)
    if pause == 0 and not fold.idle:
        return running(fold, event.step, attempts)
    return Retrying(event.step, attempts, Moment(fold.at + pause), fold.at)
