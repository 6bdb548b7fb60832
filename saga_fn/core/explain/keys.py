"""The idempotency keys of a saga's next attempts: which of them a verb makes others."""

from __future__ import annotations

from typing import assert_never

from saga_fn.core.ids import StepId
from saga_fn.core.plan import Plan, StepKind
from saga_fn.core.state import (
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
    Unfinished,
    Unknown,
    Waiting,
)


def another_key(plan: Plan, before: SagaState, after: SagaState) -> tuple[StepId, ...]:
    """The steps that were attempted before, and whose next attempt has another key: their participants do them once more.

    A fan-out that is taken back stands for its items. Nothing is attempted forward any more of a saga that goes back, or has ended
    well: an operator may take up one that FAILED.
    """
    if after.goal in (Goal.ROLLBACK, Goal.COMPENSATED, Goal.COMPLETED):
        return ()
    now = {step.step: step for step in after.steps}
    found: dict[StepId, None] = {}
    for step in before.steps:
        if not _was_attempted(plan, step):
            continue
        then = now.get(step.step)
        if then is None:  # an item: its list is another one then
            found[plan.owner(step.step)] = None
        elif isinstance(then, Rewound) or _is_of_another_input(step, then):
            found[step.step] = None
    return tuple(found)


def _is_of_another_input(step: StepState, then: StepState) -> bool:
    if not isinstance(step, Unfinished) or not isinstance(then, Unfinished):
        return False
    return step.attempts.generation != then.attempts.generation


def _was_attempted(plan: Plan, step: StepState) -> bool:
    """Whether the participant was asked for the step, or may have been, since the saga last came to it."""
    match step:
        case Running() | Probing() | Unknown() | Retrying() | Parked() | FailedForGood():
            return step.attempts.attempt > 0
        case Succeeded():
            return plan.step(step.step).kind is StepKind.STEP
        case Settled() | Undoing() | UndoRetrying() | UndoWaiting() | UndoParked() | UndoFailed() | Undone():
            return True
        case Skipped():
            return bool(step.doubt)
        case NotTaken() | FannedOut() | Joined() | Waiting() | Sleeping() | Rewound():
            return False
        case _:
            assert_never(step)
