"""All that may become of a saga by itself: how it may end, what may be undone, what may be left over.

"By itself" leaves out operators, other plans, and nothing else: each attempt may fail, be cut short or never return, each timer may
fire, and each event may come. So these are more than what will happen. A law in `tests/core/test_prospects.py` holds that no move of a
saga by itself adds to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import attrs

from saga_fn.core.facts import owes_undo
from saga_fn.core.fan_out import items_of
from saga_fn.core.ids import StepId
from saga_fn.core.leftovers import left_over
from saga_fn.core.plan import Plan, PlannedStep, StepKind
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import (
    COMMITTED,
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


@attrs.frozen
class Prospects:
    """All that may become of a saga by itself. A fan-out stands for those of its items that have not begun."""

    ends: frozenset[SagaStatus]
    """How it may end."""
    may_be_undone: tuple[StepId, ...] = ()
    """The steps whose compensation may run."""
    may_be_left: tuple[StepId, ...] = ()
    """The steps of which something may be left over."""


def prospects(plan: Plan, state: SagaState) -> Prospects:
    """All that may become of the saga by itself.

    >>> from saga_fn.core.ids import Moment
    >>> plan = Plan.of(PlannedStep(StepId("a"), compensable=True), PlannedStep(StepId("b"), (StepId("a"),)))
    >>> state = SagaState(plan=plan.id, rev=2, at=Moment(0), steps=(Succeeded(StepId("a"), 2),))
    >>> sorted(end.value for end in prospects(plan, state).ends), prospects(plan, state).may_be_undone
    (['COMPENSATED', 'COMPLETED', 'FAILED'], ('a',))
    """
    match state.goal:
        case Goal.COMPLETED | Goal.COMPENSATED | Goal.FAILED:
            left = tuple(each.step_id for each in left_over(plan, state))
            return Prospects(frozenset({SagaStatus[state.goal.name]}), (), left)
        case Goal.FORWARD:
            return _of_going_forward(plan, state)
        case Goal.ROLLBACK | Goal.HALT:
            if _pivot_may_decide(plan, state):
                return _of_going_forward(plan, state)
            return _of_going_back(plan, state)
        case _:
            assert_never(state.goal)


def _pivot_may_decide(plan: Plan, state: SagaState) -> bool:
    """Whether a pivot that has begun may yet turn out to be done, so that the saga goes on."""
    found = next((step for step in state.steps if step.step == plan.pivot), None)
    return isinstance(found, Unfinished) and not isinstance(found, FailedForGood)


def _of_going_forward(plan: Plan, state: SagaState) -> Prospects:
    if any(step.step == plan.pivot and type(step) in COMMITTED for step in state.steps):
        return Prospects(frozenset({SagaStatus.COMPLETED}))
    back = plan.data.compensate_on_failure
    may_go_back = back or state.goal is Goal.ROLLBACK
    begun = {step.step: step for step in state.steps}
    undone: list[StepId] = []
    left: list[StepId] = []
    for planned in plan.steps:
        for name in _with_items(planned, begun):
            step = begun.get(name)
            if may_go_back and _may_be_undone(planned, step):
                undone.append(name)
            if _may_be_left(plan, planned, step, back=back):
                left.append(name)
    ends = {SagaStatus.COMPLETED, SagaStatus.FAILED}
    if may_go_back and not _is_left_for_certain(plan, state):
        ends.add(SagaStatus.COMPENSATED)
        if back and not left:
            ends.remove(SagaStatus.FAILED)
    return Prospects(frozenset(ends), tuple(undone), tuple(left))


def _of_going_back(plan: Plan, state: SagaState) -> Prospects:
    back = state.goal is Goal.ROLLBACK
    undone = [step.step for step in state.steps if back and _may_be_undone(plan.step(step.step), step, turned=True)]
    left = [step.step for step in state.steps if _may_be_left(plan, plan.step(step.step), step, back=back, turned=True)]
    if not back:
        return Prospects(frozenset({SagaStatus.FAILED}), (), tuple(left))
    ends = {SagaStatus.COMPENSATED, SagaStatus.FAILED}
    if _is_left_for_certain(plan, state):
        ends.remove(SagaStatus.COMPENSATED)
    elif not left:
        ends.remove(SagaStatus.FAILED)
    return Prospects(frozenset(ends), tuple(undone), tuple(left))


def _with_items(planned: PlannedStep, begun: dict[StepId, StepState]) -> Iterator[StepId]:
    """The step, and its items if it has fanned out."""
    yield planned.step
    spread = begun.get(planned.step)
    if type(spread) is FannedOut or type(spread) is Joined:
        yield from (item for item in items_of(spread) if item in begun)


def _may_be_undone(planned: PlannedStep, step: StepState | None, *, turned: bool = False) -> bool:
    """Whether the compensation of the step may run; `turned`: the saga has turned back already."""
    has_undo = planned.compensable or planned.undoes_in_doubt
    match step:
        case Undoing() | UndoRetrying() | UndoWaiting() | UndoParked():
            return True
        case Succeeded() | Settled():
            return planned.compensable
        case None | FannedOut() | Rewound():
            return has_undo and not turned
        case Running() | Probing() | Unknown():
            return has_undo
        case Retrying() | Parked() | FailedForGood():
            return has_undo if not turned else planned.undoes_in_doubt and bool(step.attempts.doubt)
        case Skipped() | NotTaken() | Joined() | Undone() | UndoFailed() | Waiting() | Sleeping():
            return False
        case _:
            assert_never(step)


def _may_be_left(plan: Plan, planned: PlannedStep, step: StepState | None, *, back: bool, turned: bool = False) -> bool:
    """Whether something of the step may be left over; `back`: what was done is undone."""
    match step:
        case Succeeded() | Settled():
            return owes_undo(plan, step) and not (back and planned.undo_parks)
        case UndoFailed():
            return True
        case Undoing() | UndoRetrying() | UndoWaiting() | UndoParked():
            return not planned.undo_parks
        case Skipped():
            return bool(step.doubt)
        case None | FannedOut() | Rewound():
            return planned.kind is StepKind.STEP and not turned
        case Retrying() | Parked() | FailedForGood():
            if planned.kind is not StepKind.STEP:
                return False
            return not turned or bool(step.attempts.doubt or step.attempts.may_run_until)
        case Running() | Probing() | Unknown():
            return True
        case NotTaken() | Joined() | Undone() | Waiting() | Sleeping():
            return False
        case _:
            assert_never(step)


def _is_left_for_certain(plan: Plan, state: SagaState) -> bool:
    """Whether something is left over already, however the saga goes back."""
    for step in state.steps:
        if type(step) is UndoFailed or (type(step) is Skipped and step.doubt):
            return True
        if type(step) is FailedForGood and step.attempts.doubt and not owes_undo(plan, step):
            return True
    return False
