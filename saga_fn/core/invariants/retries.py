"""I15: of retries. How many attempts there are, and when."""

from __future__ import annotations

from saga_fn.core.events import (
    CompensationFailed,
    CompensationRequested,
    FailureKind,
    ProbeFailed,
    RetryRequested,
    StepFailed,
)
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.invariants.edge import Edge, Tried, starts
from saga_fn.core.state import Probing, Retrying, Running, Undoing, UndoRetrying, Unknown


def i15_attempts_stay_within_the_policy(edge: Edge) -> bool:
    """A counted failure leads to another attempt only while the policy grants one, and within its budget in time.

    What was refused, or is not to be tried again, leads to none.
    """
    if isinstance(edge.event, ProbeFailed):
        return _probes_within_the_policy(edge, edge.event.step)
    if not isinstance(edge.event, StepFailed | CompensationFailed):
        return True
    planned = edge.plan.step(edge.event.step)
    retry = planned.retry if isinstance(edge.event, StepFailed) else planned.undo_retry
    again = [
        now
        for _, now in edge.steps
        if now.step == edge.event.step and isinstance(now, Running | Retrying | Undoing | UndoRetrying)
    ]
    if isinstance(edge.event, StepFailed) and edge.event.kind in (FailureKind.REFUSED, FailureKind.FATAL):
        return not again
    return all(
        now.tries.failures < retry.attempts
        and not (retry.within and now.tries.since and _begins(edge, now) - now.tries.since > retry.within)
        for now in again
    )


def _probes_within_the_policy(edge: Edge, step: StepId) -> bool:
    retry = edge.plan.step(step).probe_retry
    for _, now in edge.steps:
        if now.step == step and isinstance(now, Unknown | Probing):
            begins = now.wake if isinstance(now, Unknown) else edge.after.at
            late = retry.within and now.since and begins - now.since > retry.within
            if late or now.failures >= retry.attempts:
                return False
    return True


def _begins(edge: Edge, now: Running | Retrying | Undoing | UndoRetrying) -> Moment:
    """When the next attempt begins."""
    return now.wake if isinstance(now, Retrying | UndoRetrying) else edge.after.at


def i15_nothing_starts_before_its_time(edge: Edge) -> bool:
    """No attempt starts before its retry is due, or while one that was taken from its worker may go on."""
    for was, now in edge.steps:
        if not isinstance(was, Tried) or not starts(was, now):
            continue
        wake = was.wake if isinstance(was, Retrying | UndoRetrying | Unknown) else Moment(0)
        early = wake > edge.after.at and not isinstance(edge.event, RetryRequested | CompensationRequested)
        if early or was.tries.until > edge.after.at:
            return False
    return True
