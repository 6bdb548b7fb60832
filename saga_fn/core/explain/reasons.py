"""Why a saga stands where it stands: all that it does or waits for now, step by step."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import assert_never

import attrs

from saga_fn.core.facts import blocked_until, find, has_work, needs_owner, settled_from, startable, undoable
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.owning import is_interrupted
from saga_fn.core.plan import Plan
from saga_fn.core.retry import JOURNAL_LIMIT, RetrySchedule
from saga_fn.core.state import (
    Attempts,
    Doubt,
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
    SagaState,
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
)


class Cause(enum.StrEnum):
    """The kind of a reason why a saga stands where it stands."""

    RUNNING = "running"
    """A step is being executed."""
    PROBING = "probing"
    """A probe is finding out whether a step has run."""
    UNDOING = "undoing"
    """The compensation of a step is being executed."""
    RETRY = "retry"
    """A step waits for its next attempt."""
    DOUBT = "doubt"
    """A step may have run, and waits for what settles that."""
    UNDO_RETRY = "undo_retry"
    """A compensation waits for its next attempt."""
    EVENT = "event"
    """A step waits for an event."""
    UNDO_EVENT = "undo_event"
    """A compensation waits for an event."""
    SLEEP = "sleep"
    """A step waits for a moment."""
    BEGIN = "begin"
    """The saga was started with a delay, and has not begun."""
    STOPPING = "stopping"
    """An execution was taken from a process that may not have stopped it yet, and the saga waits for that."""
    PERSON = "person"
    """A step waits for a person."""
    UNDO_PERSON = "undo_person"
    """A compensation waits for a person."""
    WORKER = "worker"
    """There is something to do, and no process has taken the saga up yet."""
    SET_ASIDE = "set_aside"
    """The saga was parked as a whole, because its row could not be used."""
    ENDED = "ended"
    """The saga has ended."""


@attrs.frozen
class Reason:
    """One reason why a saga stands where it stands."""

    cause: Cause
    """Its kind."""
    step: StepId | None = None
    """The step that it is about, or None."""
    until: Moment | None = None
    """When it is over by itself; None if it is not, or if that is not known."""
    events: tuple[str, ...] = ()
    """The names of the events that it waits for."""
    parked: ParkReason | None = None
    """Why it waits for a person."""
    attempt: int = 0
    """The number of the attempt, the present or the last one; 0 if there was none."""
    failures: int = 0
    """The number of failed attempts that its retry policy counts."""
    may_have_run: bool = False
    """Whether it is not known yet if the step has run."""
    transactional: bool = False
    """Whether it runs in the transaction that its success is written in, and touches nothing else."""
    most_attempts: int | None = None
    """For what has failed, and for what is tried again: the number of attempts that its retry policy allows."""
    probes_failed: int = 0
    """For a step that may have run: how often its probe has failed."""
    interrupted: bool = False
    """For what a process executed: whether no process has the saga's lease any more."""
    lease_over: Moment | None = None
    """For what was interrupted: the end of its process's lease; None if that is not known."""


def reasons(
    plan: Plan, state: SagaState, *, leased: bool = True, lease_over: Moment | None = None
) -> tuple[Reason, ...]:
    """All reasons, in the order of the plan; those of the saga as a whole come last.

    `leased` is whether a process has its lease, `lease_over` the end of its owner's, if that is over and known.

    >>> from saga_fn.core.plan import PlannedStep
    >>> plan = Plan.of(PlannedStep(StepId("a")))
    >>> [each.cause.value for each in reasons(plan, SagaState(plan=plan.id, rev=1, at=Moment(0)))]
    ['worker']
    """
    cut_off = is_interrupted(state, leased=leased)
    return tuple(_interrupted(each, lease_over) if cut_off else each for each in _reasons(plan, state))


def _interrupted(reason: Reason, since: Moment | None) -> Reason:
    """The same, if the process that executes it may be gone. A transaction that was not committed has left nothing."""
    match reason.cause:
        case Cause.RUNNING:
            may_have_run = reason.may_have_run or not reason.transactional
            return attrs.evolve(reason, interrupted=True, lease_over=since, may_have_run=may_have_run)
        case Cause.PROBING | Cause.UNDOING:
            return attrs.evolve(reason, interrupted=True, lease_over=since)
        case _:
            return reason


def ended(plan: Plan, state: SagaState, failed: StepId | None) -> Reason:
    """The reason of a saga that has ended, by the failure of that step if it was one."""
    step = None if failed is None else find(state, failed)
    if not isinstance(step, FailedForGood):
        return Reason(Cause.ENDED, failed)
    most = plan.step(step.step).retry.attempts
    return Reason(Cause.ENDED, failed, attempt=step.attempts.attempt, most_attempts=most)


def _reasons(plan: Plan, state: SagaState) -> Iterator[Reason]:
    if state.ended:
        yield Reason(Cause.ENDED)
        return
    for step in state.steps:
        if (found := _of_step(plan, state, step)) is not None:
            yield found
    if state.goal is Goal.FORWARD and state.begins_at > state.at:
        yield Reason(Cause.BEGIN, until=state.begins_at)
    elif state.goal is Goal.ROLLBACK and (holding := blocked_until(state)):
        yield Reason(Cause.STOPPING, until=max(holding))
    elif not needs_owner(state) and has_work(plan, state):
        next_ones = (*startable(plan, state), *(step.step for step in undoable(plan, state)))
        yield Reason(Cause.WORKER, next(iter(next_ones), None))


def _of_step(plan: Plan, state: SagaState, step: StepState) -> Reason | None:
    match step:
        case Running():
            return attrs.evolve(_tried(Cause.RUNNING, step.step, step.attempts), transactional=step.transactional)
        case Probing():
            return Reason(Cause.PROBING, step.step, None, (), None, step.attempts.probes, step.failures, True)
        case Retrying():
            again = _tried(Cause.RETRY, step.step, step.attempts, step.wake)
            return attrs.evolve(again, most_attempts=_most(plan.step(step.step).retry, step.attempts.failures))
        case Unknown():
            found = _tried(Cause.DOUBT, step.step, step.attempts, Moment(max(settled_from(step), state.at)))
            most = _most(plan.step(step.step).probe_retry, step.failures)
            return attrs.evolve(found, most_attempts=most, probes_failed=step.failures)
        case Parked():
            within = plan.step(step.step).transactional
            return attrs.evolve(_tried(Cause.PERSON, step.step, step.attempts), parked=step.why, transactional=within)
        case Undoing():
            return _undone(Cause.UNDOING, step)
        case UndoRetrying():
            again = _undone(Cause.UNDO_RETRY, step, step.wake)
            return attrs.evolve(again, most_attempts=_most(plan.step(step.step).undo_retry, step.attempts.failures))
        case UndoParked():
            return attrs.evolve(_undone(Cause.UNDO_PERSON, step), parked=step.why)
        case UndoWaiting():
            return attrs.evolve(_undone(Cause.UNDO_EVENT, step, step.times_out_at), events=step.names)
        case Waiting():
            return Reason(Cause.EVENT, step.step, step.times_out_at, plan.step(step.step).waits_for)
        case Sleeping():
            return Reason(Cause.SLEEP, step.step, step.wake)
        case FailedForGood() | UndoFailed() | Undone():
            return None
        case Succeeded() | Skipped() | Settled() | NotTaken() | FannedOut() | Joined() | Rewound():
            return None
        case _:
            assert_never(step)


def _most(retry: RetrySchedule, failures: int) -> int | None:
    """How often the policy tries at most; None if nothing has failed by it, or if it tries as often as it takes."""
    return retry.attempts if 0 < failures < retry.attempts < JOURNAL_LIMIT else None


def _tried(cause: Cause, step: StepId, attempts: Attempts, until: Moment | None = None) -> Reason:
    doubtful = attempts.doubt is not Doubt.NONE
    return Reason(cause, step, until, (), None, attempts.attempt, attempts.failures, doubtful)


def _undone(
    cause: Cause, step: Undoing | UndoRetrying | UndoParked | UndoWaiting, until: Moment | None = None
) -> Reason:
    return attrs.evolve(_tried(cause, step.step, step.attempts, until), may_have_run=not step.seq)
