"""Owners that come and go: what a claim finds lost, what a hand-back leaves, what is parked as a whole."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import CancelExecution, Refusal, Release, RunCompensation, RunStep
from saga_fn.core.events import (
    Accompanied,
    CompensationRequested,
    FailureKind,
    HandedBack,
    Resumed,
    RetryRequested,
    SagaParked,
    StepSucceeded,
)
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import Projection, SagaStatus, WaitReason
from saga_fn.core.rules.ownership import CRASH_LIMIT
from saga_fn.core.state import Doubt, Parked, ParkReason, Retrying, Running, UndoParked, UndoRetrying, Unknown
from tests.core.given import AT_ONCE, ONE, SECOND, THREE, THRICE, TWO_ROOTS, A, B, C, sequence, started, step

# Claims.


@pytest.mark.predecessor(2)
def test_a_claim_after_a_loss_makes_the_old_execution_stale() -> None:
    saga = started(THREE, A)
    moved = saga.take_over(A)
    assert moved.actions == (CancelExecution(A), RunStep(A, 2, 0))
    assert saga.refusal(StepSucceeded(Moment(0), A, 1)) is Refusal.LATE
    saga.succeed(A)


def test_what_was_running_is_unknown_until_it_is_repeated() -> None:
    saga = started(THREE, A)
    moved = saga.take_over()
    assert moved.needs == (A,)
    assert saga.of(A, Unknown).attempts.doubt is Doubt.MAY_HAVE_RUN
    assert saga.row == Projection(SagaStatus.RUNNING, WaitReason.NOTHING, Moment(0), 0, A, None)


def test_a_compensation_that_was_running_is_run_again() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    moved = saga.take_over()
    assert moved.actions == (CancelExecution(A), RunCompensation(A, 2, 2))
    assert moved.writes == ()


@pytest.mark.predecessor(6)
def test_a_crash_loop_is_parked_when_it_ran_alone() -> None:
    saga = started(ONE, A)
    for _ in range(CRASH_LIMIT - 1):
        assert saga.take_over(A, isolated=True).actions[-1:] == (RunStep(A, saga.of(A, Running).attempts.attempt, 0),)
    moved = saga.take_over(A, isolated=True)
    assert moved.actions == (CancelExecution(A),)
    assert saga.row == Projection(
        SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, A, "crash_loop", wakes_on_message=False, problem_step=A
    )
    assert saga.state.failed_takeovers == CRASH_LIMIT


@pytest.mark.predecessor(6)
def test_a_crash_loop_is_parked_before_its_deadline_is_looked_at() -> None:
    saga = started(Plan.of(step("a"), deadline=Micros(SECOND)), A)
    for _ in range(CRASH_LIMIT - 1):
        saga.take_over(A, isolated=True)
    saga.wait(SECOND)
    assert saga.take_over(A, isolated=True).timed_out is None
    assert saga.of(A, Parked).why is ParkReason.CRASH_LOOP
    assert saga.state.deadline == SECOND


@pytest.mark.predecessor(6)
def test_only_a_saga_that_was_alone_is_parked() -> None:
    saga = started(ONE, A)
    for _ in range(CRASH_LIMIT + 2):
        saga.take_over(A)
    assert saga.kinds()[A] == "Running"
    saga.take_over(A, isolated=True)
    assert saga.kinds()[A] == "Running"
    saga.take_over(A)
    assert saga.kinds()[A] == "Parked"


@pytest.mark.predecessor(6)
def test_a_crash_loop_in_a_compensation_is_parked_too() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    for _ in range(CRASH_LIMIT):
        saga.take_over(isolated=True)
    assert saga.of(A, UndoParked).why is ParkReason.CRASH_LOOP


def test_progress_begins_the_count_of_crashes_anew() -> None:
    saga = started(THREE, A)
    saga.take_over(A, isolated=True)
    saga.take_over(A, isolated=True)
    assert (saga.state.failed_takeovers, saga.state.isolated) == (2, True)
    saga.succeed(A, B)
    assert (saga.state.failed_takeovers, saga.state.isolated) == (0, False)


def test_a_claim_of_what_nobody_had_is_no_crash() -> None:
    saga = started(ONE, A)
    saga.take_over(A)
    saga.tell(HandedBack(Moment(0)))
    assert saga.state.failed_takeovers == 1
    saga.resume(A)
    assert saga.state.failed_takeovers == 1
    saga.tell(HandedBack(Moment(0)))
    saga.tell(Resumed(Moment(0), takeover=True, isolated=True))
    assert saga.state.failed_takeovers == 1


def test_a_takeover_that_found_nothing_running_does_not_park() -> None:
    saga = started(ONE, A)
    for _ in range(CRASH_LIMIT):
        saga.take_over(A)
    saga.tell(Resumed(Moment(0), takeover=True, isolated=True))
    assert saga.state.failed_takeovers == CRASH_LIMIT + 1
    saga.tell(Resumed(Moment(0), takeover=True, isolated=True))
    assert saga.kinds()[A] == "Unknown"


@pytest.mark.predecessor(6)
def test_a_saga_that_runs_beside_others_again_is_not_blamed() -> None:
    saga = started(ONE, A)
    for _ in range(CRASH_LIMIT - 1):
        saga.take_over(A, isolated=True)
    saga.tell(Accompanied(saga.moment))
    assert (saga.state.failed_takeovers, saga.state.isolated) == (CRASH_LIMIT - 1, False)
    assert saga.of(A, Running).attempts.attempt == CRASH_LIMIT, "it runs on"
    saga.take_over(A, isolated=True)
    assert saga.kinds()[A] == "Running"
    saga.take_over(A)
    assert saga.of(A, Parked).why is ParkReason.CRASH_LOOP


# Hand-backs.


def test_a_hand_back_leaves_nothing_running_and_the_saga_due_at_once() -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.wait(9)
    moved = saga.tell(HandedBack(saga.moment))
    assert moved.actions == (CancelExecution(A), CancelExecution(B))
    assert moved.writes == (Release(Moment(9)),)
    assert moved.needs == ()
    assert saga.kinds() == {A: "Unknown", B: "Unknown"}


def test_what_had_not_begun_when_it_was_handed_back_is_due_and_in_no_doubt() -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.wait(9)
    moved = saga.tell(HandedBack(saga.moment, (B,)))
    assert moved.writes == (Release(Moment(9)),)
    assert saga.kinds() == {A: "Retrying", B: "Unknown"}
    assert not saga.of(A, Retrying).attempts.doubt
    assert saga.resume(A, B).actions == (RunStep(A, 2, 0), RunStep(B, 2, 0))


def test_what_had_not_begun_when_a_rollback_was_handed_back_leaves_nothing() -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.succeed(A)
    saga.ask(CompensationRequested(Moment(0)))
    saga.tell(HandedBack(Moment(0), ()))
    assert saga.kinds() == {A: "Succeeded", B: "FailedForGood"}
    assert saga.resume().actions == (RunCompensation(A, 1, 2),)
    saga.undo(A)
    assert saga.leftovers == {}


def test_a_doubt_stays_on_the_way_back_where_the_next_attempt_had_not_begun() -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.succeed(A)
    saga.take_over(B)
    saga.ask(CompensationRequested(saga.moment))
    saga.tell(HandedBack(saga.moment, ()))
    assert saga.kinds() == {A: "Succeeded", B: "Unknown"}


def test_a_doubt_of_an_earlier_attempt_stays_where_the_next_had_not_begun() -> None:
    saga = started(ONE, A)
    saga.take_over(A)
    assert saga.of(A, Running).attempts.doubt
    saga.tell(HandedBack(saga.moment, ()))
    handed_back = saga.of(A, Unknown)  # so that another plan may settle it in another way
    assert handed_back.attempts.doubt
    assert handed_back.attempts.doubts == 0


def test_executions_are_cancelled_in_the_plans_order() -> None:
    saga = started(Plan.of(step("c", retry=AT_ONCE), step("b"), step("a", retry=AT_ONCE)), A, B, C)
    saga.fail(C)
    assert saga.tell(HandedBack(Moment(0))).actions == (CancelExecution(C), CancelExecution(B), CancelExecution(A))


def test_a_compensation_that_is_handed_back_is_due_at_once() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.tell(HandedBack(saga.moment)).writes == (Release(Moment(0)),)
    assert saga.of(A, UndoRetrying).attempts.attempt == 1
    assert saga.status is SagaStatus.SUSPENDED
    assert saga.resume().actions == (RunCompensation(A, 2, 2),)


def test_a_rollback_that_is_handed_back_with_a_step_running_goes_on() -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.succeed(A)
    saga.ask(CompensationRequested(Moment(0)))
    saga.tell(HandedBack(Moment(0)))
    assert saga.status is SagaStatus.COMPENSATING
    assert saga.resume().actions == (RunCompensation(A, 1, 2),)
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}


def test_a_rollback_with_only_its_end_to_come_is_due() -> None:
    saga = started(ONE, A)
    saga.ask(CompensationRequested(Moment(0)))
    saga.tell(HandedBack(Moment(0)))
    assert saga.row.due == 0
    saga.resume()
    assert saga.status is SagaStatus.FAILED


# What the owner cannot go on with.


def test_parking_a_saga_stops_all_of_it_in_place() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE), step("c")), A, B)
    saga.fail(B)
    moved = saga.tell(SagaParked(Moment(0), ParkReason.ROW_REJECTED))
    assert moved.actions == (CancelExecution(A),)
    assert moved.writes == (Release(None),)
    assert moved.needs == ()
    assert saga.kinds() == {A: "Parked", B: "Parked", C: "Parked"}
    assert {saga.of(name, Parked).why for name in (A, B, C)} == {ParkReason.ROW_REJECTED}
    assert saga.row.parked == "row_rejected"
    assert saga.of(A, Parked).attempts.doubt is Doubt.MAY_HAVE_RUN
    assert saga.tell(RetryRequested(Moment(0))).needs == (A, B, C)


def test_parking_a_rollback_stops_its_compensations() -> None:
    saga = started(Plan.of(step("a"), step("b", undo_retry=THRICE), step("c", "a", "b")), A, B)
    saga.succeed(A)
    saga.succeed(B, C)
    saga.fail(C)
    saga.fail_undo(B)
    saga.tell(SagaParked(Moment(0), ParkReason.PLAN_CHANGED))
    assert saga.kinds() == {A: "UndoParked", B: "UndoParked", C: "FailedForGood"}
    assert saga.row.parked == "plan_changed"
    assert saga.ask(CompensationRequested(Moment(0))).actions == (RunCompensation(A, 2, 2), RunCompensation(B, 2, 3))


def test_parking_a_rollback_whose_probe_waits_starts_nothing() -> None:
    asked = step("b", "a", on_unknown=OnUnknown.PROBE, probe_retry=THRICE, undo_in_doubt=True)
    saga = started(Plan.of(step("a"), asked), A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    saga.tell(CompensationRequested(saga.moment))
    saga.fail_probe(B)
    moved = saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    assert (moved.actions, saga.kinds()) == ((), {A: "Succeeded", B: "UndoParked"})


def test_parking_a_rollback_that_waits_for_a_step_parks_the_compensations_to_come() -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.succeed(A)
    saga.ask(CompensationRequested(Moment(0)))
    saga.tell(SagaParked(Moment(0), ParkReason.ROW_REJECTED))
    assert saga.kinds() == {A: "UndoParked", B: "Unknown"}
    assert saga.row.parked == "row_rejected"
    assert saga.ask(RetryRequested(Moment(0))).actions == (RunCompensation(A, 1, 2),)
