"""Steps that may have run: how they are settled, and what a probe finds out."""

from __future__ import annotations

from msgspec.structs import replace

from saga_fn.core.effects import Rejection
from saga_fn.core.events import FailureKind, ProbeAnswered, ProbeFailed
from saga_fn.core.facts import settled_from
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import OnUnknown
from saga_fn.core.retry import JOURNAL_LIMIT
from saga_fn.core.rules.attempts import delay, failed
from saga_fn.core.rules.fold import Fold
from saga_fn.core.rules.pivot import failed_for_good
from saga_fn.core.rules.results import succeed
from saga_fn.core.state import (
    UNDOING,
    Attempts,
    Doubt,
    FailedForGood,
    Goal,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    StepState,
    Unknown,
)


def settle_unknown_outcomes(fold: Fold) -> None:
    """Do about each step that may have run what its plan says; `Unknown` is what stays for later, or for ever.

    A probe is begun by an owner alone: no other process could run it.
    """
    if Unknown not in map(type, fold.steps.values()):
        return
    asking = fold.goal in (Goal.FORWARD, Goal.ROLLBACK) and not fold.idle
    undoing = not UNDOING.isdisjoint(map(type, fold.steps.values()))
    for step in tuple(fold.steps.values()):
        if not isinstance(step, Unknown):
            continue
        planned = fold.plan.step(step.step)
        match planned.on_unknown:
            case OnUnknown.PROBE if undoing:  # by an earlier plan, which had nothing to find out: that goes on
                fold.put(FailedForGood(step.step, step.attempts))
            case OnUnknown.PROBE if asking and settled_from(step) <= fold.at:
                first_attempt_at = (
                    fold.at if planned.probe_retry.within and not step.first_attempt_at else step.first_attempt_at
                )
                probed = replace(step.attempts, probes=step.attempts.probes + 1, may_run_until=Moment(0))
                fold.put(Probing(step.step, probed, step.failures, first_attempt_at))
            case OnUnknown.PARK if fold.goal is Goal.FORWARD:
                fold.put(Parked(step.step, step.attempts, ParkReason.OUTCOME_UNKNOWN))
            case OnUnknown.UNDO if fold.goal is Goal.FORWARD:
                fold.put(FailedForGood(step.step, step.attempts))
            case _:
                pass


def probe_answered(fold: Fold, event: ProbeAnswered) -> Rejection | None:
    """The step has succeeded after all, or has not run: then what failed of it counts, and nothing of it is in doubt."""
    probing = fold.end(Probing, event.step, event.attempt)
    if isinstance(probing, Rejection):
        return probing
    if event.done:
        succeed(fold, event.step)
    else:
        fold.put(not_done(fold, event.step, replace(probing.attempts, doubt=Doubt.NONE)))
    return None


def not_done(fold: Fold, step: StepId, attempts: Attempts) -> StepState:
    """The step once it is known that it has not run: what failed of it counts."""
    pause = delay(fold, fold.plan.step(step).retry, attempts) if attempts.failures else 0
    if pause is None or fold.goal is not Goal.FORWARD:
        return failed_for_good(fold, step, attempts)
    if fold.rev >= JOURNAL_LIMIT:
        return Parked(step, attempts, ParkReason.TOO_LONG)
    return Retrying(step, attempts, Moment(fold.at + pause), fold.at)


def probe_failed(fold: Fold, event: ProbeFailed) -> Rejection | None:
    """The probe is called again, with pauses. Once its retries are used up, the step is parked.

    A rollback does not wait for it: the step is listed as one that may have run. The pivot alone stays parked there.
    """
    probing = fold.end(Probing, event.step, event.attempt)
    if isinstance(probing, Rejection):
        return probing
    fold.put(_after_failed_probe(fold, event, probing))
    return None


def _after_failed_probe(fold: Fold, event: ProbeFailed, probing: Probing) -> StepState:
    if event.kind is FailureKind.OUTPUT_LOST:
        return Parked(event.step, replace(probing.attempts, doubt=Doubt.OUTPUT_LOST), ParkReason.OUTPUT_LOST)
    if event.kind is FailureKind.UNREADABLE:
        return Parked(event.step, probing.attempts, ParkReason.PAYLOAD_UNREADABLE)
    asked = failed(probing)
    pause = delay(fold, fold.plan.step(event.step).probe_retry, asked, event.jitter_draw, event.after)
    if pause is None or fold.rev >= JOURNAL_LIMIT:
        return Parked(event.step, probing.attempts, ParkReason.OUTCOME_UNKNOWN)
    wake = Moment(fold.at + pause)
    return Unknown(event.step, probing.attempts, wake, asked.failures, probing.first_attempt_at, fold.at)
