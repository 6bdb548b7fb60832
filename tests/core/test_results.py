"""How a step's execution ends: repeated, parked or final, and what is remembered of it."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Release, RunStep
from saga_fn.core.events import CompensationRequested, FailureKind, RetryRequested
from saga_fn.core.ids import Digest, Micros, Moment
from saga_fn.core.plan import Plan
from saga_fn.core.projection import Projection, SagaStatus, WaitReason
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import Attempts, Doubt, FailedForGood, Parked, ParkReason, Retrying
from tests.core.given import AGAIN, AGAIN_AT_ONCE, ONE, SECOND, THRICE, A, B, C, sequence, started, step


@pytest.mark.predecessor(31)
def test_an_output_that_cannot_be_kept_parks_and_is_not_run_again() -> None:
    saga = started(AGAIN, A)
    saga.fail(A, FailureKind.OUTPUT_LOST)
    assert saga.row == Projection(
        SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, A, "output_lost", wakes_on_message=False, problem_step=A
    )
    assert saga.resume(A).actions == ()
    saga.ask(CompensationRequested(Moment(0)))
    assert saga.leftovers == {A: "ran, output lost"}


def test_a_failure_with_attempts_left_waits_for_its_delay() -> None:
    saga = started(AGAIN, A)
    saga.wait(5)
    moved = saga.fail(A)
    assert moved.actions == ()
    assert moved.writes == (Release(Moment(5 + SECOND)),)
    assert saga.row == Projection(SagaStatus.SUSPENDED, WaitReason.RETRY, Moment(5 + SECOND), 1, A, None)


def test_a_retry_is_the_next_attempt_once_its_time_has_come() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    saga.wait(SECOND - 1)
    assert saga.resume(A).actions == ()
    saga.wait(1)
    assert saga.resume().needs == (A,)
    assert saga.resume(A).actions == (RunStep(A, 2, 0),)
    assert saga.row.retry_counter == 1


def test_the_draw_takes_its_share_of_the_delay() -> None:
    saga = started(sequence("a", retry=RetrySchedule(attempts=2, base=Micros(1000), jitter=0.5)), A)
    saga.fail(A, jitter_draw=0.5)
    assert saga.of(A, Retrying).wake == 750


@pytest.mark.predecessor(4)
def test_a_timeout_is_counted_like_any_failure() -> None:
    saga = started(ONE, A)
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.status is SagaStatus.FAILED
    assert saga.leftovers == {A: "may have run"}


def test_a_failure_without_a_delay_is_repeated_in_the_same_commit() -> None:
    saga = started(AGAIN_AT_ONCE, A)
    moved = saga.fail(A)
    assert moved.actions == (RunStep(A, 2, 0),)
    assert moved.writes == ()
    assert saga.fail(A).actions == (RunStep(A, 3, 0),)
    saga.fail(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_a_payload_that_cannot_be_read_parks_without_counting() -> None:
    saga = started(AGAIN, A)
    saga.fail(A, FailureKind.UNREADABLE)
    parked = saga.of(A, Parked)
    assert (parked.why, parked.attempts.failures, parked.attempts.doubt) == (
        ParkReason.PAYLOAD_UNREADABLE,
        0,
        Doubt.NONE,
    )


def test_a_refusal_is_final_and_settles_a_doubt_where_that_is_said() -> None:
    saga = started(Plan.of(step("a", unknown_retry=THRICE, has_unknown_policies=True), step("b", "a")), A)
    saga.wait(SECOND)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.resume(A)
    moved = saga.fail(A, FailureKind.BUSINESS_ERROR)
    assert saga.status is SagaStatus.COMPENSATED
    told = Attempts(2, 2, Doubt.NONE, Digest(b"input"), doubts=1, doubted=Moment(SECOND))
    assert saga.of(A, FailedForGood) == FailedForGood(A, told)
    assert moved.needs == ()


def test_doubt_never_shrinks_with_further_attempts() -> None:
    saga = started(Plan.of(step("a", retry=THRICE, unknown_retry=THRICE)), A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.resume(A)
    saga.fail(A)
    assert saga.of(A, Retrying).attempts.doubt is Doubt.MAY_HAVE_RUN
    saga.wait(SECOND)
    saga.resume(A)
    saga.fail(A, FailureKind.OUTPUT_LOST)
    saga.tell(RetryRequested(saga.moment))
    saga.resume(A)
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.of(A, Retrying).attempts.doubt is Doubt.OUTPUT_LOST


def test_a_tick_fires_every_timer_that_has_come_and_no_other() -> None:
    late = RetrySchedule(attempts=3, base=Micros(2 * SECOND))
    saga = started(Plan.of(step("a", retry=THRICE), step("b", retry=late), step("c", retry=THRICE)), A, B, C)
    for name in (A, B, C):
        saga.fail(name)
    assert saga.row.due == SECOND
    saga.wait(SECOND)
    assert saga.tick().needs == (A, C)
    assert saga.tick(A, C).actions == (RunStep(A, 2, 0), RunStep(C, 2, 0))
