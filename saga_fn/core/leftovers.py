"""The effects that a saga leaves in the world without its owner's consent, and so how a rollback ends."""

from __future__ import annotations

import enum
from typing import assert_never

import msgspec

from saga_fn.core.facts import owes_undo
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.state import (
    Attempts,
    Doubt,
    FailedForGood,
    FannedOut,
    Goal,
    Joined,
    NotTaken,
    Parked,
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


class LeftOverKind(enum.StrEnum):
    """The kind of effect that a step leaves in the world when its saga has FAILED."""

    NOT_UNDONE = "not undone"
    """It ran, and was not undone."""
    UNDO_FAILED = "undo failed"
    """It ran, and its compensation failed."""
    MAY_HAVE_RUN = "may have run"
    """It was cut short, and may have run."""
    OUTPUT_LOST = "ran, output lost"
    """It ran, and its output was lost, so that it was not undone."""
    MAY_STILL_RUN = "may still run"
    """It was running when the saga was aborted, and may run on."""


class LeftOver(msgspec.Struct, frozen=True):
    """One step that a FAILED saga leaves behind.

    Attributes:
        step_id: The step's id.
        kind: The kind of effect.
        until: The moment when it is certain to have stopped, in microseconds since 1970, for MAY_STILL_RUN; else None.
    """

    step_id: StepId
    kind: LeftOverKind
    until: Moment | None = None


def left_over(plan: Plan, state: SagaState) -> tuple[LeftOver, ...]:
    """The effects that the saga leaves in the world without its owner's consent; none unless it is FAILED."""
    if state.goal is not Goal.FAILED:
        return ()
    found = (_left_of(plan, step, state.at) for step in state.steps)
    return tuple(leftover for leftover in found if leftover is not None)


def stays_done(plan: Plan, state: SagaState) -> tuple[StepId, ...]:
    """The steps that stay done although the saga has turned back and ended, because they have no compensation."""
    if state.goal is not Goal.COMPENSATED and state.goal is not Goal.FAILED:
        return ()
    return tuple(
        step.step for step in state.steps if isinstance(step, Succeeded | Settled) and _has_no_undo(plan, step.step)
    )


def _has_no_undo(plan: Plan, step: StepId) -> bool:
    planned = plan.step(step)
    return planned.kind is StepKind.STEP and not planned.compensable


def all_that_may_be_left(plan: Plan) -> tuple[LeftOver, ...]:
    """The effects that a saga may leave in the world if only its plan is known: any step may have run."""
    return tuple(
        LeftOver(planned.step, LeftOverKind.MAY_HAVE_RUN)
        for planned in plan.data.steps
        if planned.kind is StepKind.STEP
    )


def verdict(plan: Plan, state: SagaState) -> Goal:
    """How a rollback that has nothing more to do ends: COMPENSATED only if nothing at all is left over."""
    left = (_left_of(plan, step, state.at) for step in state.steps)
    return Goal.FAILED if any(left) else Goal.COMPENSATED


def _left_of(plan: Plan, step: StepState, at: Moment) -> LeftOver | None:
    match step:  # the frequent ones first: each that is asked before costs
        case Succeeded() | Settled():
            return LeftOver(step.step, LeftOverKind.NOT_UNDONE) if owes_undo(plan, step) else None
        case FailedForGood() | Unknown() | Running() | Retrying() | Parked() | Probing():
            return _doubtful(step.step, step.attempts, at)
        case Undoing() | UndoRetrying() | UndoWaiting() | UndoParked() | UndoFailed() if step.attempts.attempt:
            return LeftOver(
                step.step,
                LeftOverKind.UNDO_FAILED,
                step.attempts.may_run_until if step.attempts.may_run_until > at else None,
            )
        case Undoing() | UndoRetrying() | UndoWaiting() | UndoParked() | UndoFailed():  # it was parked before it began
            return LeftOver(step.step, LeftOverKind.NOT_UNDONE if step.seq else LeftOverKind.MAY_HAVE_RUN)
        case Skipped():
            return _in_doubt(step.step, step.doubt)
        case NotTaken() | FannedOut() | Joined() | Undone() | Waiting() | Sleeping() | Rewound():
            return None
        case _:
            assert_never(step)


def _doubtful(step: StepId, attempts: Attempts, at: Moment) -> LeftOver | None:
    if attempts.may_run_until > at:
        return LeftOver(step, LeftOverKind.MAY_STILL_RUN, attempts.may_run_until)
    return _in_doubt(step, attempts.doubt)


def _in_doubt(step: StepId, doubt: Doubt) -> LeftOver | None:
    match doubt:
        case Doubt.NONE:
            return None
        case Doubt.MAY_HAVE_RUN:
            return LeftOver(step, LeftOverKind.MAY_HAVE_RUN)
        case Doubt.OUTPUT_LOST:
            return LeftOver(step, LeftOverKind.OUTPUT_LOST)
        case _:
            assert_never(doubt)
