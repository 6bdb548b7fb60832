"""`abort` ends a saga as it is. What it interrupted may run on until the old lease ends; nothing starts before."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import CancelExecution, Refusal, Release, RunCompensation, RunStep
from saga_fn.core.events import (
    AbortRequested,
    CompensationRequested,
    EventReceived,
    RetryRequested,
    StepSettled,
)
from saga_fn.core.ids import Moment
from saga_fn.core.leftovers import LeftOver, LeftOverKind, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import Retrying, UndoRetrying, Unknown
from tests.core.given import ONE, SECOND, THREE, THRICE, A, B, C, Saga, sequence, started, step

LEASE_END = 30 * SECOND


def aborted_in_b() -> Saga:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.abort(until=LEASE_END)
    return saga


def test_an_aborted_saga_is_failed_and_lists_what_it_leaves() -> None:
    saga = aborted_in_b()
    assert saga.status is SagaStatus.FAILED
    assert left_over(saga.plan, saga.state) == (
        LeftOver(A, LeftOverKind.NOT_UNDONE),
        LeftOver(B, LeftOverKind.MAY_STILL_RUN, Moment(LEASE_END)),
    )


def test_abort_cancels_what_runs_and_releases_the_saga_for_good() -> None:
    saga = started(THREE, A)
    moved = saga.abort(until=LEASE_END)
    assert moved.actions == (CancelExecution(A),)
    assert moved.writes == (Release(None),)
    assert moved.needs == ()


@pytest.mark.predecessor(34)
def test_abort_never_changes_a_saga_that_has_ended() -> None:
    saga = started(ONE, A)
    saga.succeed(A)
    assert saga.refusal(AbortRequested(saga.moment, saga.moment)) is Refusal.FINISHED
    assert saga.status is SagaStatus.COMPLETED


def test_a_retry_after_abort_does_not_run_beside_the_old_execution() -> None:
    saga = aborted_in_b()
    saga.tell(RetryRequested(saga.moment))
    assert saga.row.due == LEASE_END
    saga.resume(B)
    assert saga.kinds()[B] == "Unknown"
    saga.wait(LEASE_END)
    assert RunStep(B, 2, 0) in saga.resume(B).actions


@pytest.mark.parametrize("verb", [RetryRequested, CompensationRequested])
def test_what_is_known_to_have_stopped_is_not_waited_for(
    verb: type[RetryRequested | CompensationRequested],
) -> None:
    saga = aborted_in_b()
    saga.tell(verb(saga.moment, stopped=(B,)))
    assert saga.row.due == saga.moment
    moved = saga.resume(B)
    assert moved.actions == ((RunStep(B, 2, 0),) if verb is RetryRequested else (RunCompensation(A, 1, 2),))


def test_what_may_still_run_beside_it_is_waited_for() -> None:
    saga = started(Plan.of(step("a"), step("b")), A, B)
    saga.abort(until=LEASE_END)
    saga.tell(RetryRequested(saga.moment, stopped=(B,)))
    saga.resume(A, B)
    assert saga.kinds() == {A: "Unknown", B: "Running"}


def test_a_compensation_that_is_known_to_have_stopped_is_tried_again_or_marked_at_once() -> None:
    for verb in (CompensationRequested(Moment(0), stopped=(A,)), StepSettled(Moment(0), A, stopped=(A,))):
        saga = started(sequence("ab"), A)
        saga.succeed(A, B)
        saga.fail(B)
        saga.abort(until=LEASE_END)
        moved = saga.ask(verb)
        marked = isinstance(verb, StepSettled)
        assert moved.actions == (() if marked else (RunCompensation(A, 2, 2),))
        assert saga.kinds()[A] == ("Undone" if marked else "Undoing")


def test_a_saga_that_goes_on_is_told_nothing_of_what_has_stopped() -> None:
    saga = aborted_in_b()
    saga.tell(RetryRequested(saga.moment))
    saga.tell(CompensationRequested(saga.moment, stopped=(B,)))
    assert saga.row.due == LEASE_END


def test_a_retry_after_abort_begins_a_fresh_count() -> None:
    saga = started(sequence("a", retry=THRICE), A)
    saga.fail(A)
    saga.wait(SECOND)
    saga.resume(A)
    saga.abort(until=LEASE_END)
    saga.tell(RetryRequested(saga.moment))
    assert saga.of(A, Unknown).attempts.failures == 0


def test_one_branch_may_wait_for_its_retry_and_another_for_an_aborted_execution() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE)), A, B)
    saga.abort(until=LEASE_END)
    saga.tell(RetryRequested(saga.moment))
    saga.wait(LEASE_END - 1)
    assert saga.row.waits == WaitReason.TIMER
    saga.wait(1)
    saga.resume(B)
    saga.fail(B)
    assert not saga.row.waits
    saga.resume(A)
    saga.abort(until=saga.now + LEASE_END)
    saga.tell(RetryRequested(saga.moment))
    assert saga.of(B, Retrying).wake == saga.moment
    assert saga.row.waits == WaitReason.RETRY | WaitReason.TIMER


def test_asking_twice_for_a_retry_does_not_shorten_the_wait() -> None:
    saga = aborted_in_b()
    saga.tell(RetryRequested(saga.moment))
    saga.refusal(RetryRequested(saga.moment))
    saga.resume(B)
    assert saga.kinds()[B] == "Unknown"


def test_an_event_does_not_shorten_the_wait_for_an_aborted_execution() -> None:
    saga = aborted_in_b()
    saga.tell(RetryRequested(saga.moment))
    saga.tell(EventReceived(saga.moment))
    assert saga.row.due == LEASE_END


def test_a_rollback_after_abort_begins_when_nothing_can_run_forward_any_more() -> None:
    saga = aborted_in_b()
    moved = saga.ask(CompensationRequested(saga.moment))
    assert moved.actions == ()
    assert moved.writes == (Release(Moment(LEASE_END)),)
    assert (saga.status, saga.row.waits) == (SagaStatus.SUSPENDED, WaitReason.TIMER)
    saga.wait(LEASE_END)
    assert saga.resume().actions == (RunCompensation(A, 1, 2),)
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}


@pytest.mark.predecessor(2)
def test_an_aborted_compensation_is_not_run_beside_itself() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.kinds()[A] == "Undoing"
    saga.abort(until=LEASE_END)
    assert left_over(saga.plan, saga.state) == (LeftOver(A, LeftOverKind.UNDO_FAILED, Moment(LEASE_END)),)
    assert saga.ask(CompensationRequested(saga.moment)).actions == ()
    assert saga.of(A, UndoRetrying).wake == LEASE_END
    saga.ask(CompensationRequested(saga.moment))  # asking twice does not shorten the wait
    assert saga.of(A, UndoRetrying).wake == LEASE_END
    assert saga.resume().actions == ()
    saga.wait(LEASE_END)
    assert saga.resume().actions == (RunCompensation(A, 2, 2),)


def test_a_step_that_waits_is_left_as_it_was() -> None:
    saga = started(THREE)
    saga.abort()
    assert saga.leftovers == {}
    saga.tell(RetryRequested(saga.moment))
    assert saga.row.due == saga.moment
    saga.resume(A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.succeed(C)
    assert saga.status is SagaStatus.COMPLETED
