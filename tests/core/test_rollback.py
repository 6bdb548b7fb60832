"""The way back: when a saga turns, how compensations undo what was done, and how that ends."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Refusal, Release, RunCompensation
from saga_fn.core.events import (
    CompensationFailed,
    CompensationRequested,
    CompensationSucceeded,
    FailureKind,
    RetryRequested,
    StepFailed,
    StepSkipped,
    StepSucceeded,
)
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.leftovers import LeftOver, LeftOverKind, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import Projection, SagaStatus, WaitReason
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import FailedForGood, ParkReason, UndoParked, UndoRetrying
from tests.core.given import (
    AT_ONCE,
    DIAMOND,
    SECOND,
    THREE,
    THRICE,
    TWO_ROOTS,
    A,
    B,
    C,
    D,
    bound,
    sequence,
    started,
    step,
)


def test_the_last_failure_turns_the_saga_back() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    before = saga.state
    moved = saga.fail(C)
    assert moved.actions == (RunCompensation(B, 1, 3),)
    assert moved.writes == ()
    assert saga.status is SagaStatus.COMPENSATING
    assert (before.goes_back, saga.state.goes_back) == (False, True)
    assert saga.row.current_step == B


def test_the_first_steps_failure_has_nothing_to_undo() -> None:
    saga = started(THREE, A)
    saga.fail(A)
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.of(A, FailedForGood).attempts.failures == 1


def test_without_compensation_on_failure_the_saga_fails_and_lists_what_is_left() -> None:
    saga = started(Plan.of(step("a"), step("b", "a"), compensate_on_failure=False), A)
    saga.succeed(A, B)
    moved = saga.fail(B)
    assert moved.actions == ()
    assert saga.status is SagaStatus.FAILED
    assert left_over(saga.plan, saga.state) == (LeftOver(A, LeftOverKind.NOT_UNDONE),)


def test_halting_waits_for_what_runs() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE), step("c", "a"), compensate_on_failure=False), A, B)
    moved = saga.fail(A)
    assert (moved.actions, moved.writes) == ((), ())
    assert saga.row.status is SagaStatus.RUNNING
    saga.succeed(B)
    assert saga.status is SagaStatus.FAILED
    assert saga.leftovers == {B: "not undone"}


def test_halting_does_not_wait_for_what_waits() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE), compensate_on_failure=False), A, B)
    saga.fail(B)
    saga.fail(A)
    assert saga.kinds() == {A: "FailedForGood", B: "FailedForGood"}
    assert saga.status is SagaStatus.FAILED


def test_compensations_run_in_reverse_one_after_the_other() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    assert saga.undo(B).actions == (RunCompensation(A, 1, 2),)
    moved = saga.undo(A)
    assert moved.writes == (Release(None),)
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.kinds() == {A: "Undone", B: "Undone", C: "FailedForGood"}


def test_branches_are_undone_side_by_side_and_their_root_after_both() -> None:
    saga = started(DIAMOND, A)
    saga.succeed(A, B, C)
    saga.succeed(B)
    saga.succeed(C, D)
    assert saga.fail(D).actions == (RunCompensation(B, 1, 3), RunCompensation(C, 1, 4))
    assert saga.undo(C).actions == ()
    assert saga.undo(B).actions == (RunCompensation(A, 1, 2),)


def test_a_rollback_waits_for_running_siblings_and_undoes_their_success() -> None:
    saga = started(TWO_ROOTS, A, B)
    moved = saga.fail(A)
    assert (moved.actions, moved.writes) == ((), ())
    assert saga.status is SagaStatus.COMPENSATING
    assert saga.succeed(B).actions == (RunCompensation(B, 1, 3),)


def test_a_sibling_that_fails_while_rolling_back_is_not_retried() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE)), A, B)
    saga.fail(A)
    saga.fail(B)
    assert saga.kinds()[B] == "FailedForGood"
    assert saga.status is SagaStatus.COMPENSATED


def test_a_sibling_that_waits_is_given_up() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE)), A, B)
    saga.fail(B)
    saga.fail(A)
    assert saga.kinds() == {A: "FailedForGood", B: "FailedForGood"}
    assert saga.status is SagaStatus.COMPENSATED


@pytest.mark.predecessor(9)
def test_a_step_without_compensation_is_passed_over() -> None:
    saga = started(sequence("abc", undo="a"), A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    assert saga.fail(C).actions == (RunCompensation(A, 1, 2),)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


@pytest.mark.predecessor(10)
def test_a_skipped_step_is_never_compensated() -> None:
    saga = started(THREE)
    saga.tell(StepSkipped(Moment(0), A, bound(B), not_begun=True))
    saga.succeed(B, C)
    saga.fail(C)
    saga.undo(B)
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.kinds() == {A: "Skipped", B: "Undone", C: "FailedForGood"}


@pytest.mark.predecessor(29)
def test_a_rollback_with_nothing_left_to_undo_ends_at_once() -> None:
    saga = started(THREE)
    saga.ask(CompensationRequested(Moment(0)))
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.row.due is None


def test_the_draw_takes_its_share_of_the_delay_of_a_compensation() -> None:
    jittered = RetrySchedule(attempts=2, base=Micros(1000), jitter=0.5)
    saga = started(Plan.of(step("a", undo_retry=jittered), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.tell(CompensationFailed(saga.moment, A, 1, jitter_draw=0.5))
    assert saga.of(A, UndoRetrying).wake == 750


@pytest.mark.predecessor(28)
def test_a_compensation_is_retried_by_its_own_policy() -> None:
    saga = started(Plan.of(step("a", undo_retry=THRICE), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    moved = saga.fail_undo(A)
    assert moved.writes == (Release(Moment(SECOND)),)
    assert saga.row == Projection(SagaStatus.SUSPENDED, WaitReason.RETRY, Moment(SECOND), 1, A, None)
    assert saga.resume().actions == ()
    saga.wait(SECOND)
    assert saga.tick().actions == (RunCompensation(A, 2, 2),)


def test_a_late_or_foreign_result_of_a_compensation_is_refused() -> None:
    saga = started(sequence("ab"), A)
    late = (CompensationSucceeded(Moment(0), A, 1), CompensationFailed(Moment(0), A, 1))
    for event in late:
        assert saga.refusal(event) is Refusal.LATE
    saga.succeed(A, B)
    saga.fail(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.refusal(StepSucceeded(Moment(0), A, 1)) is Refusal.LATE
    assert saga.refusal(StepFailed(Moment(0), A, 1)) is Refusal.LATE


def test_even_the_shortest_wait_of_a_compensation_is_a_wait() -> None:
    saga = started(Plan.of(step("a", undo_retry=RetrySchedule(attempts=2, base=Micros(1))), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.fail_undo(A).actions == ()
    assert saga.of(A, UndoRetrying).wake == 1


def test_a_compensation_may_be_repeated_at_once() -> None:
    saga = started(Plan.of(step("a", undo_retry=AT_ONCE), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.fail_undo(A).actions == (RunCompensation(A, 2, 2),)


def test_a_compensation_that_fails_for_good_is_left_over_and_what_is_below_it_too() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    saga.fail_undo(B)
    assert saga.status is SagaStatus.FAILED
    assert saga.leftovers == {A: "not undone", B: "undo failed"}
    assert (saga.row.current_step, saga.row.retry_counter) == (B, 1)


def test_the_other_branches_are_undone_all_the_same() -> None:
    saga = started(DIAMOND, A)
    saga.succeed(A, B, C)
    saga.succeed(B)
    saga.succeed(C, D)
    saga.fail(D)
    saga.fail_undo(B)
    assert saga.row.status is SagaStatus.COMPENSATING
    saga.undo(C)
    assert saga.status is SagaStatus.FAILED
    assert saga.leftovers == {A: "not undone", B: "undo failed"}


def test_a_compensation_that_cannot_be_called_waits_for_a_person() -> None:
    saga = started(sequence("ab", retry=AT_ONCE), A)
    saga.succeed(A, B)
    for _ in range(3):
        saga.fail(B)
    saga.fail_undo(A, FailureKind.UNREADABLE)
    assert saga.of(A, UndoParked).why is ParkReason.PAYLOAD_UNREADABLE
    assert saga.of(A, UndoParked).attempts.failures == 0
    assert saga.row == Projection(
        SagaStatus.SUSPENDED,
        WaitReason.PARKED,
        None,
        0,
        A,
        "payload_unreadable",
        wakes_on_message=False,
        problem_step=A,
    )
    assert saga.ask(RetryRequested(Moment(0))).actions == (RunCompensation(A, 2, 2),)


def test_a_step_whose_outcome_is_unknown_is_never_called_compensated() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    saga.undo(A)
    assert saga.status is SagaStatus.FAILED
    assert saga.leftovers == {B: "may have run"}
