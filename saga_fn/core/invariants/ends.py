"""I11, I12, I16: of ends. Each tells the truth and is at rest, and only some edges lead there or away from there."""

from __future__ import annotations

from typing import Final, get_args

from saga_fn.core.events import AbortRequested, CompensationRequested, RetryRequested, RewindRequested, StepSettled
from saga_fn.core.facts import owes_undo, startable
from saga_fn.core.ids import StepId
from saga_fn.core.invariants.edge import Edge, GoingForward
from saga_fn.core.leftovers import left_over
from saga_fn.core.plan import Plan
from saga_fn.core.state import (
    ENDS,
    UNDOING,
    Goal,
    SagaState,
    Skipped,
    UndoFailed,
    Undone,
    is_done,
    is_unfinished,
)

_GOING: Final[frozenset[type[object]]] = frozenset(get_args(GoingForward)) | (UNDOING - {Undone, UndoFailed})


def i11_an_end_is_at_rest(plan: Plan, state: SagaState) -> bool:
    """A saga that has ended runs nothing, waits for nothing and can start nothing."""
    return not state.ended or (_GOING.isdisjoint(map(type, state.steps)) and not startable(plan, state))


def i11_ends_are_absorbing(edge: Edge) -> bool:
    """Only an operator leaves an end, by trying again, by rolling back, by settling something or by going back; and only FAILED."""
    if edge.before.goal not in ENDS:
        return True
    verb = isinstance(edge.event, RetryRequested | CompensationRequested | StepSettled | RewindRequested)
    return edge.before.goal is Goal.FAILED and verb


def i12_completed_means_all_done(plan: Plan, state: SagaState) -> bool:
    """COMPLETED: every step of the plan succeeded, or was passed over by a person or by its condition."""
    done = {step.step for step in state.steps if is_done(step)}
    return state.goal is not Goal.COMPLETED or (done >= set(plan.index) and len(done) == len(state.steps))


def i12_compensated_means_nothing_left(plan: Plan, state: SagaState) -> bool:
    """COMPENSATED: whatever has a compensation is undone, and nothing may have run unseen."""
    return state.goal is not Goal.COMPENSATED or not _owed(plan, state)


def i12_failed_lists_what_is_left(plan: Plan, state: SagaState) -> bool:
    """FAILED: exactly the steps that are owed an undo, or in doubt, are listed."""
    owed = _owed(plan, state) if state.goal is Goal.FAILED else set[StepId]()
    return {left.step_id for left in left_over(plan, state)} == owed


def _owed(plan: Plan, state: SagaState) -> set[StepId]:
    """The steps that are owed an undo, or may have run unseen."""
    return {
        step.step
        for step in state.steps
        if owes_undo(plan, step)
        or (type(step) is Skipped and step.doubt)
        or (is_unfinished(step) and (step.attempts.doubt or step.attempts.may_run_until > state.at))
    }


def i16_a_cancellation_is_before_or_after_the_end(edge: Edge) -> bool:
    """`abort` ends a live saga FAILED, a rollback never leads forward; a saga that had ended refuses both (I11)."""
    match edge.event:
        case AbortRequested():
            return edge.after.goal is Goal.FAILED
        case CompensationRequested():
            return edge.after.goal in (Goal.ROLLBACK, Goal.COMPENSATED, Goal.FAILED)
        case _:
            return True
