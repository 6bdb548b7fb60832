"""The short answers to a failure in a chain are those of the general rules, or none."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core import transition as deciding
from saga_fn.core.effects import Release, RunCompensation, RunStep
from saga_fn.core.events import CompensationSucceeded, FailureKind, StepFailed
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.retry import JOURNAL_LIMIT, RetrySchedule
from saga_fn.core.state import (
    Attempts,
    Buffered,
    Doubt,
    FailedForGood,
    Goal,
    Running,
    SagaState,
    Skipped,
    Undoing,
    Undone,
)
from saga_fn.core.transition import by_general_rules, transition
from saga_fn.core.way_back import after_failure, go_on_back
from tests.core.given import AT_ONCE, SECOND, THREE, THRICE, TWO_ROOTS, A, B, C, Saga, sequence, started, step

TIMED = Plan.of(
    step("a", undo_retry=RetrySchedule(attempts=3, base=Micros(SECOND), within=Micros(SECOND))),
    step("b", "a", undo=False),
)
HALTING = Plan.of(step("a"), step("b", "a"), compensate_on_failure=False)
SETTLING = Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PARK))
WITH_A_PIVOT = Plan.of(step("a"), step("b", "a", undo=False, pivot=True))
WITH_A_BUDGET = Plan.of(step("a"), step("b", "a", retry=RetrySchedule(within=Micros(SECOND))))
WAITING_UNDO = Plan.of(step("a", undo_waits=("paid",)), step("b", "a"))


def failing(saga: Saga) -> StepFailed:
    (last,) = (each for each in saga.state.steps if isinstance(each, Running))
    return StepFailed(Moment(7), last.step, last.attempts.attempt)


def at_b(plan: Plan) -> Saga:
    saga = started(plan, A)
    saga.succeed(A, B)
    return saga


def in_short(plan: Plan, state: SagaState, event: StepFailed | CompensationSucceeded) -> bool:
    """Whether the event is answered in short, which must be the answer of the general rules."""
    told = after_failure(plan, state, event) if isinstance(event, StepFailed) else go_on_back(plan, state, event)
    if told is not None:
        assert told == by_general_rules(plan, state, event).unwrap()
    return told is not None


def test_a_chain_goes_all_the_way_back_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    saga = at_b(THREE)
    saga.succeed(B, C)
    monkeypatch.setattr(deciding, "by_general_rules", None)
    assert saga.fail(C).actions == (RunCompensation(B, 1, 2 + 1, 0),)
    assert saga.undo(B).actions == (RunCompensation(A, 1, 2, 0),)
    ended = saga.undo(A)
    assert ended.writes == (Release(None),)
    assert saga.state.goal is Goal.COMPENSATED


@pytest.mark.parametrize(
    "plan",
    [
        sequence("ab"),
        sequence("ab", undo=""),
        sequence("ab", undo="b"),
        sequence("ab", retry=THRICE),
        sequence("ab", retry=AT_ONCE),
        TIMED,
        WITH_A_BUDGET,
        SETTLING,
        WITH_A_PIVOT,
        HALTING,
        WAITING_UNDO,
        Plan.of(step("a"), step("b", "a", own_retry=False, unknown_retry=THRICE)),
        Plan.of(step("a"), step("b", "a", has_unknown_policies=True)),
    ],
)
@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("after", [None, 0, SECOND])
def test_every_answer_is_what_the_general_rules_answer(plan: Plan, kind: FailureKind, after: Micros | None) -> None:
    state: SagaState | None = at_b(plan).state
    for number in range(1, 4):
        event = StepFailed(Moment(number * 2 * SECOND), B, number, kind, after=after)
        decided = by_general_rules(plan, state, event)
        assert transition(plan, state, event) == decided
        state = decided.unwrap().state if decided.value_or(None) else state
        undone = CompensationSucceeded(Moment(number * 2 * SECOND), A, 1)
        assert transition(plan, state, undone) == by_general_rules(plan, state, undone)


def test_it_knows_every_failure_that_leaves_nothing_open() -> None:
    once = at_b(sequence("ab"))
    kinds = [kind for kind in FailureKind if in_short(once.plan, once.state, replace(failing(once), kind=kind))]
    assert kinds == [FailureKind.ERROR, FailureKind.BUSINESS_ERROR, FailureKind.FATAL]


def test_a_step_is_tried_again_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, later = at_b(sequence("ab", retry=AT_ONCE)), at_b(sequence("ab", retry=THRICE))
    monkeypatch.setattr(deciding, "by_general_rules", None)
    assert at_once.fail(B).actions == (RunStep(B, 2, 0),)
    assert later.fail(B).writes == (Release(Moment(SECOND)),)


def test_it_leaves_a_retry_that_something_else_decides_to_the_general_rules() -> None:
    saga = at_b(sequence("ab", retry=AT_ONCE))
    asks = at_b(Plan.of(step("a"), step("b", "a", own_retry=False, unknown_retry=THRICE)))
    assert in_short(saga.plan, saga.state, failing(saga))
    for state in (
        replace(saga.state, rev=JOURNAL_LIMIT),
        replace(saga.state, events=(2,)),
        replace(saga.state, begins_at=Moment(1)),
    ):
        assert not in_short(saga.plan, state, failing(saga))
    assert not in_short(asks.plan, asks.state, replace(failing(asks), after=SECOND))
    assert in_short(asks.plan, asks.state, failing(asks))


@pytest.mark.parametrize("plan", [HALTING, SETTLING, WITH_A_PIVOT, WITH_A_BUDGET, WAITING_UNDO])
def test_it_knows_no_plan_with_another_way_back(plan: Plan) -> None:
    saga = at_b(plan)
    assert not in_short(plan, saga.state, failing(saga))


def test_it_knows_only_a_chain_and_the_execution_that_runs() -> None:
    joined, chain = started(TWO_ROOTS, A, B), at_b(sequence("ab"))
    assert not in_short(TWO_ROOTS, joined.state, StepFailed(Moment(0), A, 1))
    assert not in_short(chain.plan, chain.state, StepFailed(Moment(0), A, 1))
    assert not in_short(chain.plan, chain.state, StepFailed(Moment(0), B, 2))
    chain.fail(B)
    assert not in_short(chain.plan, chain.state, CompensationSucceeded(Moment(0), B, 1))
    assert not in_short(chain.plan, chain.state, CompensationSucceeded(Moment(0), A, 2))
    assert in_short(chain.plan, chain.state, CompensationSucceeded(Moment(0), A, 1))
    chain.undo(A)
    assert not in_short(chain.plan, chain.state, CompensationSucceeded(Moment(0), A, 1))


@pytest.mark.parametrize("attempts", [Attempts(1, doubt=Doubt.MAY_HAVE_RUN), Attempts(1, may_run_until=Moment(9))])
def test_it_knows_nothing_of_what_may_have_run_or_may_still_run(attempts: Attempts) -> None:
    saga = at_b(sequence("ab"))
    (done, _) = saga.state.steps
    running = replace(saga.state, steps=(done, Running(B, attempts)))
    assert not in_short(saga.plan, running, StepFailed(Moment(7), B, 1))
    undoing = replace(saga.state, goal=Goal.ROLLBACK, steps=(Undoing(A, 2, Attempts(1)), FailedForGood(B, attempts)))
    assert not in_short(saga.plan, undoing, CompensationSucceeded(Moment(7), A, 1))


def test_it_passes_over_what_is_at_rest_and_knows_nothing_else() -> None:
    back = replace(at_b(THREE).state, goal=Goal.ROLLBACK)
    undone = CompensationSucceeded(Moment(7), B, 1)
    for first, known in ((Skipped(A, 2), True), (Undone(A, 2), True), (Undoing(A, 2, Attempts(1)), False)):
        state = replace(back, steps=(first, Undoing(B, 3, Attempts(1)), FailedForGood(C, Attempts(1, 1))))
        assert in_short(THREE, state, undone) is known
    assert not in_short(THREE, replace(back, steps=(Undone(A, 2), Undone(B, 3))), undone)


def test_it_leaves_what_an_earlier_plan_left_to_the_general_rules() -> None:
    saga = at_b(sequence("ab"))
    saga.fail(B)
    undone = CompensationSucceeded(Moment(7), A, 1)
    assert in_short(saga.plan, saga.state, undone)
    assert not in_short(saga.plan, replace(saga.state, deadline=Moment(9)), undone)
    assert not in_short(saga.plan, replace(saga.state, buffered=(Buffered(1, "paid"),)), undone)
    assert not in_short(THREE, saga.state, undone)
