"""The outlook after a failure, for logs and snapshots: read from the decision, never guessed."""

from __future__ import annotations

from typing import TypeAlias, assert_never

import msgspec

from saga_fn.core.event_kinds import Failed
from saga_fn.core.events import CompensationFailed, FailureKind, ProbeFailed, StepFailed
from saga_fn.core.facts import find, owes_undo, settled_from, to_probe
from saga_fn.core.ids import Moment
from saga_fn.core.plan import OnUnknown, Plan, PlannedStep
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import (
    Doubt,
    FailedForGood,
    Goal,
    Parked,
    Probing,
    Retrying,
    Running,
    SagaState,
    StepState,
    UndoFailed,
    Undoing,
    UndoParked,
    UndoRetrying,
    UndoWaiting,
    Unfinished,
    Unknown,
)


class Again(msgspec.Struct, frozen=True):
    """The same is tried again, at that moment."""

    at: Moment


class ToFindOut(msgspec.Struct, frozen=True):
    """Its probe is asked whether it has run."""


class ToUndo(msgspec.Struct, frozen=True):
    """It is undone, as what may have run."""


class ForAPerson(msgspec.Struct, frozen=True):
    """It waits for a person."""


class ForGood(msgspec.Struct, frozen=True):
    """It is not tried again."""


class Overtaken(msgspec.Struct, frozen=True):
    """Something else has decided in the same moment, a person's verb as a rule."""


Next: TypeAlias = Again | ToFindOut | ToUndo | ForAPerson | ForGood | Overtaken


class Outlook(msgspec.Struct, frozen=True):
    """The next thing to happen, whether the step may have run, and which failure of how many granted ones this was."""

    next: Next
    may_have_run: bool
    counted: tuple[int, int] | None


def outlook(plan: Plan, state: SagaState, event: Failed) -> Outlook:
    """The outlook after that failure, in the state that it led to, together with the events that came with it."""
    now = find(state, event.step)
    planned = plan.step(event.step)
    in_doubt = _may_have_run(now)
    match event:
        case StepFailed():
            return Outlook(_after_step(plan, state, now), in_doubt, _count_of_step(planned, event, now))
        case CompensationFailed():
            return Outlook(_after_undo(state, now), in_doubt, _count_of_undo(planned, event, now))
        case ProbeFailed():
            asked = (now.failures, planned.probe_retry.attempts) if isinstance(now, Unknown | Probing) else None
            return Outlook(_after_probe(plan, state, now), in_doubt, asked)
        case _:
            assert_never(event)


def _may_have_run(now: StepState | None) -> bool:
    if isinstance(now, Unfinished):
        return now.attempts.doubt is not Doubt.NONE
    return isinstance(now, Undoing | UndoRetrying | UndoWaiting | UndoParked | UndoFailed) and not now.seq


def _after_step(plan: Plan, state: SagaState, now: StepState | None) -> Next:
    match now:
        case Running():
            return Again(state.at)
        case Retrying(wake=wake):
            return Again(wake)
        case Probing():
            return ToFindOut()
        case Unknown() if state.goal in (Goal.FORWARD, Goal.ROLLBACK) and to_probe(now, plan):
            return ToFindOut()
        case Unknown() if state.goal is Goal.FORWARD:
            return Again(Moment(max(state.at, settled_from(now))))
        case _:
            return _given_up(plan, state, now)


def _after_probe(plan: Plan, state: SagaState, now: StepState | None) -> Next:
    match now:
        case Probing():
            return Again(state.at)
        case Unknown() if state.goal in (Goal.FORWARD, Goal.ROLLBACK) and to_probe(now, plan):
            return Again(Moment(max(state.at, settled_from(now))))
        case _:
            return _given_up(plan, state, now)


def _given_up(plan: Plan, state: SagaState, now: StepState | None) -> Next:
    match now:
        case Parked():
            return ForAPerson()
        case Undoing() | UndoRetrying() | UndoWaiting() | UndoParked():
            return ToUndo()
        case Unknown() | FailedForGood() if state.goal is Goal.ROLLBACK and owes_undo(plan, now):
            return ToUndo()
        case Unknown() | FailedForGood():
            return ForGood()
        case _:
            return Overtaken()


def _after_undo(state: SagaState, now: StepState | None) -> Next:
    match now:
        case Undoing():
            return Again(state.at)
        case UndoRetrying(wake=wake):
            return Again(wake)
        case UndoParked():
            return ForAPerson()
        case UndoFailed():
            return ForGood()
        case _:
            return Overtaken()


def _counts(event: Failed) -> bool:
    """Whether the failure is one that a policy counts."""
    return event.kind not in (FailureKind.UNREADABLE, FailureKind.OUTPUT_LOST, FailureKind.CONFLICTS)


def _count_of_undo(planned: PlannedStep, event: CompensationFailed, now: StepState | None) -> tuple[int, int] | None:
    if not _counts(event) or not isinstance(now, Undoing | UndoRetrying | UndoParked | UndoFailed):
        return None
    return now.attempts.failures, planned.undo_retry.attempts


def _count_of_step(planned: PlannedStep, event: StepFailed, now: StepState | None) -> tuple[int, int] | None:
    """By its retry policy, or by the budget for what may have run where that has decided."""
    if not isinstance(now, Unfinished) or not _counts(event):
        return None
    attempts, own, doubtful = now.attempts, planned.retry, planned.unknown_retry
    if event.kind is FailureKind.INTERRUPTED and attempts.doubts and planned.transactional:
        return attempts.doubts, doubtful.attempts
    if event.kind in (FailureKind.UNKNOWN, FailureKind.INTERRUPTED):
        return (
            (attempts.doubts, doubtful.attempts) if planned.on_unknown is OnUnknown.REPEAT and attempts.doubts else None
        )
    if event.kind is not FailureKind.ERROR:
        return None if attempts.doubts else (attempts.failures, own.attempts)
    granted = isinstance(now, Running | Retrying)
    by_the_other = attempts.doubts and (not granted or _is_used_up(own, attempts.failures))
    return (attempts.doubts, doubtful.attempts) if by_the_other else (attempts.failures, own.attempts)


def _is_used_up(retry: RetrySchedule, failures: int) -> bool:
    return failures >= retry.attempts
