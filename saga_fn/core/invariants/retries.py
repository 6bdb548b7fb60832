"""I15: of retries. How many attempts there are, and when."""

from __future__ import annotations

from typing import Final

from saga_fn.core.events import (
    AbortRequested,
    CompensationFailed,
    CompensationRequested,
    FailureKind,
    PlanChanged,
    ProbeAnswered,
    ProbeFailed,
    Rescheduled,
    Resumed,
    RetryRequested,
    SagaParked,
    StepFailed,
    StepSettled,
    is_verb,
    takes_up,
)
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.invariants.edge import Edge, is_tried
from saga_fn.core.plan import OnUnknown
from saga_fn.core.retry import JOURNAL_LIMIT, RetrySchedule
from saga_fn.core.state import (
    UNDOING,
    Doubt,
    FailedForGood,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    StepState,
    UndoFailed,
    Undoing,
    UndoParked,
    UndoRetrying,
    Unknown,
    is_undo,
)

_AFTER_PARKED: Final[frozenset[type[object]]] = UNDOING | {Parked, FailedForGood}


def i15_attempts_stay_within_the_policy(edge: Edge) -> bool:
    """A counted failure leads to another attempt only while a policy grants one, and within its budget in time.

    A failure that was a refusal, or that ends the attempts, leads to none.
    """
    match edge.event:
        case ProbeFailed(step=step):
            return _probes_within_the_policy(edge, step)
        case StepFailed(step=step):
            again = [now for _, now in edge.steps if now.step == step and isinstance(now, Running | Retrying)]
            return all(_is_granted(edge, edge.event, now) for now in again)
        case CompensationFailed(step=step):
            retry = edge.plan.step(step).undo_retry
            undone = [now for _, now in edge.steps if now.step == step and isinstance(now, Undoing | UndoRetrying)]
            return all(
                _fits(retry, now.attempts.failures, now.attempts.first_attempt_at, _begins(edge, now)) for now in undone
            )
        case _:
            return True


def _is_granted(edge: Edge, event: StepFailed, now: Running | Retrying) -> bool:
    """Whether its retry policy grants the next attempt, or the budget for what may have run, where that serves."""
    planned, attempts = edge.plan.step(event.step), now.attempts
    was_cut = event.kind is FailureKind.INTERRUPTED or event.kind is FailureKind.UNKNOWN
    if event.kind is not FailureKind.ERROR and not was_cut:
        return False
    by_policy = event.kind is FailureKind.ERROR
    in_doubt = planned.on_unknown is OnUnknown.REPEAT and attempts.doubt is not Doubt.NONE
    in_doubt = in_doubt or (event.kind is FailureKind.INTERRUPTED and _ran_in_transaction(edge, event.step))
    in_doubt = in_doubt or (event.after is not None and not planned.own_retry)
    begins = _begins(edge, now)
    return (by_policy and _fits(planned.retry, attempts.failures, attempts.first_attempt_at, begins)) or (
        in_doubt and _fits(planned.unknown_retry, attempts.doubts, attempts.doubted, begins)
    )


def _ran_in_transaction(edge: Edge, step: StepId) -> bool:
    return any(isinstance(was, Running) and was.transactional for was, now in edge.steps if now.step == step)


def _fits(retry: RetrySchedule, failures: int, first_attempt_at: Moment, begins: Moment) -> bool:
    """Whether one more attempt, which begins then, is within the policy."""
    return failures < retry.attempts and not (
        retry.within and first_attempt_at and begins - first_attempt_at > retry.within
    )


def i15_what_is_parked_goes_on_by_a_person(edge: Edge) -> bool:
    """A step that waits for a person goes on by a person's verb alone.

    One that was parked because a plan did not fit goes on by a plan that does. A saga that turns back gives the step up,
    and may undo it.
    """
    if is_verb(edge.event):
        return True
    return all(
        (type(now) in _AFTER_PARKED if type(was) is Parked else type(now) is UndoParked)
        or (was.why is ParkReason.PLAN_CHANGED and isinstance(edge.event, PlanChanged))
        for was, now in edge.changed
        if type(was) is Parked or type(was) is UndoParked
    )


def i15_an_undo_is_left_over_only_where_that_is_declared(edge: Edge) -> bool:
    """Where the last failure of a compensation is to be seen to by a person, nothing else leaves the step over."""
    return type(edge.event) is AbortRequested or not any(
        type(now) is UndoFailed and type(was) is not UndoFailed and edge.plan.step(now.step).undo_parks
        for was, now in edge.changed
    )


def i15_journals_are_bounded(edge: Edge) -> bool:
    """When its journal has come to its limit, what has failed is not tried again without a person."""
    if edge.after.rev < JOURNAL_LIMIT:
        return True
    match edge.event:
        case StepFailed() | CompensationFailed():
            again: tuple[type[StepState], ...] = (Running, Retrying, Undoing, UndoRetrying)
        case ProbeFailed():
            again = (Unknown, Probing)
        case ProbeAnswered():
            again = (Running, Retrying)
        case _:
            return True
    return not any(now.step == edge.event.step and isinstance(now, again) for _, now in edge.steps)


def i15_only_what_was_alone_is_a_crash_loop(edge: Edge) -> bool:
    """A saga is blamed for the deaths of its processes only if it had the last one to itself when that died."""
    if type(edge.event) is SagaParked:
        return True
    return all(
        isinstance(was, Parked | UndoParked) or (type(edge.event) is Resumed and edge.before.isolated)
        for was, now in edge.changed
        if (type(now) is Parked or type(now) is UndoParked) and now.why is ParkReason.CRASH_LOOP
    )


def i15_what_may_run_on_is_waited_for(edge: Edge) -> bool:
    """Until when an execution that was taken from its worker may go on is forgotten for one reason alone.

    An operator who takes the saga up from FAILED knows that it has ended.
    """
    at = edge.after.at
    for was, now in edge.changed:
        if not is_tried(was) or was.attempts.may_run_until <= at:
            continue
        if is_tried(now) and is_undo(now) is is_undo(was):
            ended = edge.event.stopped if edge.before.ended and takes_up(edge.event) else ()
            if now.attempts.may_run_until != was.attempts.may_run_until and was.step not in ended:
                return False
    return True


def _probes_within_the_policy(edge: Edge, step: StepId) -> bool:
    retry = edge.plan.step(step).probe_retry
    for _, now in edge.steps:
        if now.step == step and isinstance(now, Unknown | Probing):
            begins = now.wake if isinstance(now, Unknown) else edge.after.at
            late = retry.within and now.first_attempt_at and begins - now.first_attempt_at > retry.within
            if late or now.failures >= retry.attempts:
                return False
    return True


def _begins(edge: Edge, now: Running | Retrying | Undoing | UndoRetrying) -> Moment:
    """When the next attempt begins."""
    return now.wake if isinstance(now, Retrying | UndoRetrying) else edge.after.at


def i15_nothing_starts_before_its_time(edge: Edge) -> bool:
    """No attempt starts before its retry is due, or while one that was taken from its worker may go on.

    A step that may have run, and waits to be repeated or (by an earlier plan) to be asked about, is undone at once, if the saga
    turns back. Once a person has said what is so, its probe's next time is not waited for.
    """
    for was, now in edge.started:
        if not is_tried(was):
            continue
        turned = isinstance(was, Retrying | Unknown) and isinstance(now, Undoing)
        answered = isinstance(was, Unknown) and isinstance(edge.event, StepSettled) and edge.event.step == now.step
        waits = isinstance(was, Retrying | UndoRetrying | Unknown) and not (turned or answered)
        wake = was.wake if isinstance(was, Retrying | UndoRetrying | Unknown) and waits else Moment(0)
        by_person = isinstance(edge.event, RetryRequested | CompensationRequested) or (
            isinstance(edge.event, Rescheduled) and edge.event.to <= edge.after.at
        )
        early = wake > edge.after.at and not by_person
        if early or was.attempts.may_run_until > edge.after.at:
            return False
    return True
