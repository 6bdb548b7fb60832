"""The point of no return: before it the saga can be undone, from it on it only goes forward."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Refusal, Rejection
from saga_fn.core.events import CompensationRequested, FailureKind, PlanChanged, RetryRequested, SagaParked, StepSkipped
from saga_fn.core.ids import Micros
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import Attempts, Goal, Parked, ParkReason
from tests.core.given import PIVOTED, SECOND, THRICE, A, B, C, Saga, bound, sequence, started, step, wait


def at_the_pivot(plan: Plan = PIVOTED) -> Saga:
    saga = started(plan, A)
    saga.succeed(A, B)
    return saga


def past_the_pivot(plan: Plan = PIVOTED) -> Saga:
    saga = at_the_pivot(plan)
    saga.succeed(B, C)
    return saga


def test_a_pivot_that_fails_is_undone_like_any_other_step() -> None:
    saga = at_the_pivot()
    saga.fail(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


@pytest.mark.parametrize("kind", [FailureKind.ERROR, FailureKind.UNKNOWN, FailureKind.BUSINESS_ERROR])
def test_what_fails_for_good_past_the_pivot_waits_for_a_person(kind: FailureKind) -> None:
    saga = past_the_pivot()
    saga.fail(C, kind)
    assert saga.of(C, Parked).why is ParkReason.PAST_PIVOT
    assert saga.state.goal is Goal.FORWARD
    assert saga.kinds() == {A: "Succeeded", B: "Succeeded", C: "Parked"}


def test_a_wait_that_is_over_past_the_pivot_waits_for_a_person() -> None:
    saga = started(Plan.of(step("b", undo=False, pivot=True), wait("c", "b", timeout=Micros(SECOND))), B)
    saga.succeed(B)
    saga.wait(SECOND)
    assert saga.tick().timed_out == C
    assert saga.of(C, Parked) == Parked(C, Attempts(), ParkReason.PAST_PIVOT)


def test_past_the_pivot_the_policy_is_used_up_first() -> None:
    plan = Plan.of(step("a"), step("b", "a", undo=False, pivot=True), step("c", "b", undo=False, retry=THRICE))
    saga = past_the_pivot(plan)
    for _ in range(2):
        saga.fail(C)
        assert saga.kinds()[C] == "Retrying"
        saga.wait(SECOND)
        saga.tick(C)
    saga.fail(C)
    assert saga.of(C, Parked).why is ParkReason.PAST_PIVOT
    saga.tell(RetryRequested(saga.moment))
    saga.tick(C)
    saga.fail(C)
    assert saga.kinds()[C] == "Retrying"


def test_what_waits_past_the_pivot_can_be_retried_or_skipped() -> None:
    saga = past_the_pivot()
    saga.fail(C)
    saga.tell(RetryRequested(saga.moment))
    saga.tick(C)
    saga.fail(C)
    saga.tell(StepSkipped(saga.moment, C))
    assert saga.status is SagaStatus.COMPLETED


def test_nobody_can_turn_a_saga_back_past_its_pivot() -> None:
    saga = past_the_pivot()
    back = CompensationRequested(saga.moment)
    assert saga.rejection(back) == Rejection(Refusal.PAST_PIVOT, B)
    saga.fail(C)
    assert saga.refusal(back) is Refusal.PAST_PIVOT
    saga.abort()
    assert saga.refusal(back) is Refusal.PAST_PIVOT
    assert saga.leftovers == {A: "not undone"}
    skipped = at_the_pivot()
    skipped.fail(B, FailureKind.OUTPUT_LOST)
    skipped.tell(StepSkipped(skipped.moment, B))
    assert skipped.refusal(back) is Refusal.PAST_PIVOT


def test_a_pivot_that_runs_when_the_saga_is_to_turn_back_decides() -> None:
    saga = at_the_pivot()
    saga.ask(CompensationRequested(saga.moment))
    assert saga.state.goal is Goal.ROLLBACK
    saga.succeed(B, C)
    assert saga.kinds() == {A: "Succeeded", B: "Succeeded", C: "Running"}
    failed = at_the_pivot()
    failed.tell(CompensationRequested(failed.moment))
    failed.fail(B)
    failed.undo(A)
    assert failed.status is SagaStatus.COMPENSATED


@pytest.mark.parametrize("lose", ["timeout", "crash", "park"])
def test_a_pivot_that_may_have_run_waits_for_a_person(lose: str) -> None:
    saga = at_the_pivot()
    saga.ask(CompensationRequested(saga.moment))
    if lose == "timeout":
        saga.fail(B, FailureKind.UNKNOWN)
    elif lose == "crash":
        saga.take_over()
    else:
        saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    assert saga.state.goal is Goal.FORWARD
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    # A person who turns back all the same is told what that may leave.
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}


def test_a_timeout_of_the_pivot_waits_for_a_person_too() -> None:
    saga = at_the_pivot()
    saga.fail(B, FailureKind.UNKNOWN)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    saga.tell(RetryRequested(saga.moment))
    saga.tick(B)
    saga.succeed(B, C)
    assert saga.kinds() == {A: "Succeeded", B: "Succeeded", C: "Running"}


@pytest.mark.parametrize("has_unknown_policies", [True, False])
def test_a_refusal_settles_what_earlier_attempts_of_the_pivot_left_open_only_where_that_is_said(
    has_unknown_policies: bool,
) -> None:
    pivot = step("b", "a", undo=False, pivot=True, unknown_retry=THRICE, has_unknown_policies=has_unknown_policies)
    saga = at_the_pivot(Plan.of(step("a"), pivot))
    saga.fail(B, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.tick(B)
    saga.fail(B, FailureKind.BUSINESS_ERROR)
    if has_unknown_policies:
        saga.undo(A)
        assert saga.status is SagaStatus.COMPENSATED
    else:
        assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN


def test_a_person_may_turn_back_from_a_pivot_that_waits() -> None:
    plan = Plan.of(step("a"), step("b", "a", undo=False, pivot=True, retry=THRICE))
    saga = at_the_pivot(plan)
    saga.fail(B, FailureKind.UNKNOWN)
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}
    aborted = at_the_pivot()
    aborted.abort()
    aborted.ask(CompensationRequested(aborted.moment))
    aborted.undo(A)
    assert aborted.leftovers == {B: "may have run"}


def test_a_rollback_under_way_takes_no_plan_whose_pivot_has_run() -> None:
    saga = started(sequence("abc"), A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    saga.plan = PIVOTED
    assert saga.refusal(PlanChanged(saga.moment, PIVOTED.id)) is Refusal.PLAN_MISMATCH
    forward = started(sequence("abc"), A)
    forward.succeed(A, B)
    forward.plan = PIVOTED
    forward.tell(PlanChanged(forward.moment, PIVOTED.id))
    forward.succeed(B)
    forward.tick(*(binding.step for binding in bound(C)))
    forward.fail(C)
    assert forward.of(C, Parked).why is ParkReason.PAST_PIVOT


@pytest.mark.parametrize("undoes", [True, False], ids=["rolls back", "stops"])
def test_a_pivot_that_may_have_run_when_time_was_over_is_left_to_a_person(undoes: bool) -> None:
    """Also where nothing is compensated on a failure, and the saga was only to stop."""
    steps = (step("a", pivot=True, undo=False), step("b", "a", undo=False))
    plan = Plan.of(*steps, compensate_on_failure=undoes, deadline=Micros(SECOND))
    saga = started(plan, A)
    saga.now = SECOND
    saga.tick()
    turned = saga.state.goal
    assert turned is (Goal.ROLLBACK if undoes else Goal.HALT)
    saga.resume()  # its worker had stopped meanwhile
    assert saga.of(A, Parked).why is ParkReason.OUTCOME_UNKNOWN
    assert saga.state.goal is Goal.FORWARD
