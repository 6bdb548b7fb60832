"""All that may become of a saga by itself: how it may end, what may be undone, what may be left over.

"By itself" leaves out operators, other plans, and nothing else: each attempt may fail, be cut short or never return, each timer may
fire, and each event may come. They are what `explore/ends.py` comes to by walking, told from the plan and the state alone:
`tests/core/test_prospects.py` compares the two. A law in `tests/core/prospected.py` holds that no move of a saga adds to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import attrs

from saga_fn.core.explain.turning import Turning
from saga_fn.core.facts import owes_undo, to_ask, to_probe
from saga_fn.core.fan_out import items_of
from saga_fn.core.ids import StepId
from saga_fn.core.leftovers import left_over
from saga_fn.core.plan import OnUnknown, Plan, PlannedStep, StepKind
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import (
    COMMITTED,
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
    turning = Turning.of(plan, state)
    if not turning.is_possible:
        return Prospects(frozenset({SagaStatus.COMPLETED}))
    back = plan.data.compensate_on_failure
    may_go_back = back or state.goal is Goal.ROLLBACK
    begun = {step.step: step for step in state.steps}
    awaited = _awaited_undos(plan, state, turning) if back else frozenset[StepId]()
    undone: list[StepId] = []
    left: list[StepId] = []
    for planned in plan.steps:
        for name in _with_items(planned, begun):
            step = begun.get(name)
            if may_go_back and _may_be_undone(planned, step):
                undone.append(name)
            if _may_be_left_by_turning(turning, planned, name, step, awaited, back=back):
                left.append(name)
    ends = {SagaStatus.COMPLETED}
    if may_go_back and not _is_left_for_certain(plan, state) and not turning.leaves_itself(state):
        ends.add(SagaStatus.COMPENSATED)
    if left or not back:
        ends.add(SagaStatus.FAILED)
    return Prospects(frozenset(ends), tuple(undone), tuple(left))


def _may_be_left_by_turning(
    turning: Turning,
    planned: PlannedStep,
    name: StepId,
    step: StepState | None,
    awaited: frozenset[StepId],
    *,
    back: bool,
) -> bool:
    """Whether something of the step may be left over if the saga turns back; `back`: what was done is undone.

    `awaited`: the steps before whose undo the saga does not end.
    """
    is_undone = planned.step in awaited
    match step:
        case Succeeded() | Settled():
            return planned.compensable and not is_undone and turning.after(name)
        case Skipped():
            return bool(step.doubt)
        case (
            None | FannedOut() | Rewound() | Retrying() | Parked() | FailedForGood() | Running() | Probing() | Unknown()
        ):
            if planned.kind is not StepKind.STEP or planned.step in turning.of_persons:
                return False
            fails_in_doubt = _may_fail_in_doubt(planned, step) or turning.beside(name)
            if planned.undoes_in_doubt and back:
                return not is_undone and (fails_in_doubt or turning.after(name))
            return fails_in_doubt or (planned.compensable and not is_undone and turning.after(name))
        case (
            NotTaken()
            | Joined()
            | Waiting()
            | Sleeping()
            | Undoing()
            | UndoRetrying()
            | UndoWaiting()
            | UndoParked()
            | UndoFailed()
            | Undone()
        ):  # nothing is undone before the saga turns back
            return False
        case _:
            assert_never(step)


def _of_going_back(plan: Plan, state: SagaState) -> Prospects:
    back = state.goal is Goal.ROLLBACK
    undone = [step.step for step in state.steps if back and _may_be_undone(plan.step(step.step), step, turned=True)]
    awaited = _awaited_undos(plan, state, None) if back else frozenset[StepId]()
    left = [step.step for step in state.steps if _may_be_left(plan, plan.step(step.step), step, awaited)]
    if not back:
        return Prospects(frozenset({SagaStatus.FAILED}), (), tuple(left))
    ends = {SagaStatus.COMPENSATED, SagaStatus.FAILED}
    if _is_left_for_certain(plan, state):
        ends.remove(SagaStatus.COMPENSATED)
    elif not left:
        ends.remove(SagaStatus.FAILED)
    return Prospects(frozenset(ends), tuple(undone), tuple(left))


def _with_items(planned: PlannedStep, begun: dict[StepId, StepState]) -> Iterator[StepId]:
    """The step, and its items if it has fanned out. It stands for those that have not begun, if there are any."""
    spread = begun.get(planned.step)
    if type(spread) is not FannedOut and type(spread) is not Joined:
        yield planned.step
        return
    items = items_of(spread)
    if not all(item in begun for item in items):
        yield planned.step
    yield from (item for item in items if item in begun)


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


def _may_be_left(plan: Plan, planned: PlannedStep, step: StepState, awaited: frozenset[StepId]) -> bool:
    """Whether something of the step may be left over by a saga that has turned back.

    `awaited`: the steps before whose undo it does not end.
    """
    waits = planned.step in awaited
    is_undone = waits and planned.undoes_in_doubt
    match step:
        case Succeeded() | Settled():
            return owes_undo(plan, step) and not waits
        case UndoFailed():
            return True
        case Undoing() | UndoRetrying() | UndoWaiting() | UndoParked():
            return not planned.undo_parks
        case Skipped():
            return bool(step.doubt)
        case Retrying() | Parked() | FailedForGood():
            is_open = bool(step.attempts.doubt or step.attempts.may_run_until)
            return planned.kind is StepKind.STEP and is_open and not is_undone
        case Running() | Probing() | Unknown():
            return not is_undone
        case NotTaken() | Joined() | Undone() | Waiting() | Sleeping() | FannedOut() | Rewound():
            return False
        case _:
            assert_never(step)


def _may_fail_in_doubt(planned: PlannedStep, step: StepState | None) -> bool:
    """Whether the step may fail for good while it is open what it has done: no probe, and no person, is asked before."""
    if planned.on_unknown is OnUnknown.REPEAT or planned.on_unknown is OnUnknown.UNDO:
        return True
    if not isinstance(step, Retrying | Running) or step.attempts.doubt is Doubt.NONE:
        return False
    return planned.on_unknown is OnUnknown.PROBE or step.attempts.doubt is Doubt.OUTPUT_LOST


def _awaited_undos(plan: Plan, state: SagaState, turning: Turning | None) -> frozenset[StepId]:
    """The steps before whose undo the saga does not end: it is not given up, nor is one of what follows them.

    `turning`: by what it may turn back; None if it has.
    """
    begun = _by_owner(plan, state.steps)
    given_up = {planned.step for planned in plan.steps if _may_give_up_an_undo(planned, begun, turning)}
    return frozenset(
        planned.step
        for planned in plan.steps
        if planned.undo_parks and given_up.isdisjoint(plan.descendants[planned.step])
    )


def _by_owner(plan: Plan, steps: tuple[StepState, ...]) -> dict[StepId, list[StepState]]:
    found: dict[StepId, list[StepState]] = {}
    for step in steps:
        found.setdefault(plan.owner(step.step), []).append(step)
    return found


def _may_give_up_an_undo(planned: PlannedStep, begun: dict[StepId, list[StepState]], turning: Turning | None) -> bool:
    """Whether a compensation of the step, or of an item of it, has failed for good, or may."""
    if planned.undo_parks:
        return False
    may_begin = turning is None or planned.undoes_in_doubt or turning.after(planned.step)
    return any(
        type(step) is UndoFailed or (may_begin and _may_be_undone(planned, step, turned=turning is None))
        for step in begun.get(planned.step) or (None,)
    )


def _is_left_for_certain(plan: Plan, state: SagaState) -> bool:
    """Whether something is left over already, however the saga goes back."""
    for step in state.steps:
        if type(step) is UndoFailed or (type(step) is Skipped and step.doubt):
            return True
        if type(step) is FailedForGood and step.attempts.doubt and not owes_undo(plan, step):
            return True
        if type(step) is Unknown and state.goal is Goal.ROLLBACK and _stays_unknown(plan, step):
            return True
    return False


def _stays_unknown(plan: Plan, step: Unknown) -> bool:
    """Whether nothing finds out about the step on the way back, and nothing undoes it there. About a pivot a person is asked."""
    is_found_out = to_probe(step, plan) or to_ask(step, plan) or step.step == plan.pivot
    return not owes_undo(plan, step) and not is_found_out
