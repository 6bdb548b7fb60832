"""How a step's execution ends: with a result, or with a failure that is repeated, settled, parked or final."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from saga_fn.core.effects import Rejection
from saga_fn.core.events import FailureKind, StepFailed, StepSucceeded
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import OnUnknown, PlannedStep
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.attempts import delay, delay_in_doubt, doubted, doubtful, failed, next_attempt
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.pivot import given_up
from saga_fn.core.state import Doubt, Goal, Parked, ParkReason, Retrying, Running, StepState, Succeeded, Tries, Unknown


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
    fold.latest = 0


def step_failed(fold: Fold, event: StepFailed) -> Rejection | None:
    """The step is repeated, settled, parked, or has failed for good."""
    running = fold.end(Running, event.step, event.attempt)
    if isinstance(running, Rejection):
        return running
    fold.put(_after_failure(fold, event, running.tries))
    return None


def _after_failure(fold: Fold, event: StepFailed, tries: Tries) -> StepState:
    planned = fold.plan.step(event.step)
    match event.kind:
        case FailureKind.OUTPUT_LOST:
            return Parked(event.step, replace(tries, doubt=Doubt.OUTPUT_LOST), ParkReason.OUTPUT_LOST)
        case FailureKind.UNREADABLE:
            return Parked(event.step, tries, ParkReason.PAYLOAD_UNREADABLE)
        case FailureKind.REFUSED:
            # The answer to this request: the one before it may still be on its way, or have gone through.
            settled = replace(tries, doubt=Doubt.NONE) if planned.refusal_settles else tries
            return given_up(fold, event.step, failed(settled))
        case FailureKind.FATAL:
            return given_up(fold, event.step, failed(tries))
        case FailureKind.UNKNOWN:
            tries = doubtful(tries)
            if planned.on_unknown is not OnUnknown.REPEAT:
                return Unknown(event.step, failed(tries))
        case FailureKind.ERROR:
            pass
        case _:
            assert_never(event.kind)
    if fold.goal is not Goal.FORWARD:
        return given_up(fold, event.step, failed(tries))
    return _repeated(fold, event, planned, failed(tries))


def _repeated(fold: Fold, event: StepFailed, planned: PlannedStep, tries: Tries) -> StepState:
    """The step once it has failed: attempted again by its retry policy, or by the budget for what may have run.

    A step that may have run is repeated by the latter, so that it ends in doubt only when that is used up. An attempt that has
    surely not run goes by the policy as far as that reaches; it settles no doubt, so that in doubt the budget for that
    carries on. That of a step without a policy serves, too, what only asks to be tried again later.

    A doubt that an earlier plan has left to a repeat is settled first, if this plan says otherwise.
    """
    if tries.doubt and planned.on_unknown in (OnUnknown.PROBE, OnUnknown.UNDO):
        return Unknown(event.step, tries)
    pause = None
    if event.kind is not FailureKind.UNKNOWN:
        pause = delay(fold, planned.retry, tries, event.draw, event.after)
    in_doubt = bool(tries.doubt) and planned.on_unknown is OnUnknown.REPEAT
    if pause is None and (in_doubt or (event.after is not None and not planned.own_retry)):
        tries = doubted(fold, tries)
        pause = delay_in_doubt(fold, planned.unknown_retry, tries, event.draw, event.after)
    if pause is None:
        return given_up(fold, event.step, tries)
    if fold.rev >= JOURNAL_LIMIT:
        return Parked(event.step, tries, ParkReason.TOO_LONG)
    if tries.events != len(fold.events):  # an event that this attempt has not seen is what the next one waits for
        return Retrying(event.step, tries, fold.at)
    if pause == 0:
        return Running(event.step, next_attempt(tries))
    return Retrying(event.step, tries, Moment(fold.at + pause))
