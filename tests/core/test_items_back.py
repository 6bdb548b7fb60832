"""The way back through a list in short: the answers of the general rules, or none. `test_items.py` compares them everywhere."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core import transition as deciding
from saga_fn.core.effects import RunCompensation
from saga_fn.core.events import Bound, BoundEach, CompensationSucceeded, Started, StepSucceeded
from saga_fn.core.ids import Digest, Micros, Moment, StepId, item_of
from saga_fn.core.items_back import undo_next_item
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import (
    Attempts,
    Doubt,
    FailedForGood,
    FannedOut,
    Goal,
    Joined,
    SagaState,
    StepState,
    Succeeded,
    Undoing,
    Undone,
    UndoRetrying,
)
from saga_fn.core.transition import by_general_rules, transition
from tests.core.given import SECOND, A, B, C, Saga, step

LIST = Digest(b"list")
ITEMS = [item_of(A, number) for number in range(5)]
TRIED = Attempts(1)
PLAN = Plan.of(step("a", concurrency=2), step("b", "a"))


def going_back(plan: Plan, *steps: StepState) -> SagaState:
    return SagaState(9, Moment(0), Goal.ROLLBACK, steps, plan=plan.id)


def of_five(plan: Plan = PLAN) -> SagaState:
    """Two of five items are being undone, one is undone."""
    undoing = [Undoing(ITEMS[number], number + 2, TRIED) for number in (0, 2)]
    done = [Succeeded(ITEMS[number], number + 2) for number in (3, 4)]
    failed = FailedForGood(B, TRIED)
    return going_back(plan, Joined(A, 5), undoing[0], Undone(ITEMS[1], 3), undoing[1], *done, failed)


def undone(number: int, attempt: int = 1) -> CompensationSucceeded:
    return CompensationSucceeded(Moment(7), ITEMS[number], attempt)


def in_short(plan: Plan, state: SagaState, event: CompensationSucceeded) -> bool:
    told = undo_next_item(plan, state, event)
    decided = by_general_rules(plan, state, event)
    assert told is None or told == decided.unwrap()
    assert transition(plan, state, event) == decided
    return told is not None


def test_a_list_is_undone_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    saga = Saga(PLAN)
    saga.tell(Started(saga.moment, PLAN.id, (BoundEach(A, 4, LIST), *(Bound(each, LIST) for each in ITEMS[:2]))))
    for number in range(4):
        following = [Bound(each, LIST) for each in ITEMS[number + 2 : 4]]
        saga.tell(StepSucceeded(saga.moment, ITEMS[number], 1, tuple(following[:1])))
    saga.tick(B)
    saga.fail(B)
    monkeypatch.setattr(deciding, "by_general_rules", None)
    assert saga.undo(ITEMS[1]).actions == (RunCompensation(ITEMS[2], 1, 4, 0),)
    assert saga.undo(ITEMS[0]).actions == (RunCompensation(ITEMS[3], 1, 5, 0),)
    assert saga.undo(ITEMS[3]).actions == ()


def test_it_leaves_the_last_of_a_list_to_the_general_rules() -> None:
    state = going_back(PLAN, Joined(A, 2), Undone(ITEMS[0], 2), Undoing(ITEMS[1], 3, TRIED), FailedForGood(B, TRIED))
    assert not in_short(PLAN, state, undone(1))


def test_it_knows_only_the_undo_that_runs() -> None:
    state = of_five()
    assert in_short(PLAN, state, undone(0))
    for event in (undone(0, attempt=2), undone(1), undone(3), CompensationSucceeded(Moment(7), B, 1)):
        assert not in_short(PLAN, state, event)
    assert not in_short(PLAN, state, CompensationSucceeded(Moment(7), item_of(A, 9), 1))


def test_it_knows_only_a_saga_that_goes_back_with_nothing_open() -> None:
    state = of_five()
    rest = state.steps[1:-1]
    for steps in (
        (FannedOut(A, 9, LIST), *rest, FailedForGood(B, Attempts(1, doubt=Doubt.MAY_HAVE_RUN))),
        (Joined(A, 5), *rest, FailedForGood(B, Attempts(1, may_run_until=Moment(9)))),
        (Joined(A, 5), *rest[:-1], UndoRetrying(ITEMS[4], 6, TRIED, Moment(9)), FailedForGood(B, TRIED)),
        (Joined(A, 5), Succeeded(ITEMS[0], 2), *rest[1:], FailedForGood(B, TRIED)),
        (Joined(A, 5), *rest, Undoing(B, 8, TRIED)),
        (Joined(A, 5), *rest[1:], FailedForGood(B, TRIED)),
        (Joined(A, 1), *rest, FailedForGood(B, TRIED)),
        rest,
        (Succeeded(C, 1), Undoing(ITEMS[0], 2, TRIED)),
    ):
        assert undo_next_item(PLAN, replace(state, steps=steps), undone(0 if len(steps) == 2 else 2)) is None
    assert undo_next_item(PLAN, replace(state, goal=Goal.FORWARD), undone(0)) is None
    other = Plan.of(step("a", concurrency=2, undo=False), step("b", "a"))
    assert undo_next_item(other, replace(state, plan=other.id), undone(0)) is None
    assert undo_next_item(other, state, undone(0)) is None


@pytest.mark.parametrize(
    "first, known",
    [(Undoing(C, 1, TRIED), True), (Succeeded(C, 1), False), (Undone(C, 1), True)],
    ids=lambda each: type(each).__name__,
)
def test_another_branch_that_could_be_undone_now_is_left_to_the_general_rules(first: StepState, *, known: bool) -> None:
    plan = Plan.of(step("c"), step("a", concurrency=2), step("b", "a"))
    assert in_short(plan, going_back(plan, first, *of_five().steps), undone(0)) is known


def test_what_the_list_was_built_upon_waits_for_it() -> None:
    plan = Plan.of(step("c"), step("a", "c", concurrency=2), step("b", "a"))
    assert in_short(plan, going_back(plan, Succeeded(C, 1), *of_five().steps), undone(0))


@pytest.mark.parametrize(
    "plan",
    [
        Plan.of(step("a", concurrency=2, undo_retry=RetrySchedule(3, within=Micros(SECOND))), step("b", "a")),
        Plan.of(PlannedStep(A, concurrency=2, compensable=True), PlannedStep(B, (A,)), deadline=Micros(SECOND)),
    ],
    ids=["within a time", "with a deadline"],
)
def test_budgets_and_deadlines_go_with_the_saga(plan: Plan) -> None:
    state = replace(of_five(plan), deadline=Moment(99), latest_event_seq=3, events=(3,))
    assert in_short(plan, state, undone(2))


def test_two_lists_are_left_to_the_general_rules() -> None:
    plan = Plan.of(step("c", concurrency=1), step("a", "c", concurrency=2), step("b", "a"))
    before = (Joined(C, 1), Succeeded(StepId("c[0]"), 1))
    assert not in_short(plan, going_back(plan, *before, *of_five().steps), undone(0))
