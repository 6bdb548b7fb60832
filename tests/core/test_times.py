"""Sleeps, and the saga's own times: its delay and its deadline. Nothing fires early, and each once."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Refusal, Release
from saga_fn.core.events import (
    EventReceived,
    HandedBack,
    MomentsMoved,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    Started,
    StepSkipped,
    Ticked,
    Until,
)
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import Attempts, Goal, Parked, ParkReason, Sleeping, Succeeded, Waiting
from tests.core.given import AGAIN, MINUTE, SECOND, THREE, A, B, Saga, bound, sleep, started, step, wait

# Sleeps.


def test_a_sleep_is_over_when_its_time_has_come_and_not_before() -> None:
    saga = started(Plan.of(sleep("a", timeout=Micros(SECOND)), step("b", "a")))
    assert saga.of(A, Sleeping).wake == SECOND
    assert (saga.row.due, saga.row.waits) == (SECOND, WaitReason.TIMER)
    saga.wait(SECOND - 1)
    saga.resume()
    assert saga.kinds() == {"a": "Sleeping"}
    saga.wait(1)
    saga.resume(B)
    assert saga.kinds() == {"a": "Succeeded", "b": "Running"}


def test_a_sleep_until_a_moment_needs_to_be_told_which() -> None:
    saga = started(Plan.of(sleep("a"), sleep("b")))
    assert saga.tick().needs == (A, B)
    saga.tell(Ticked(saga.moment, (Until(A, Moment(5)), *bound(B))))
    assert saga.of(A, Sleeping).wake == 5
    assert saga.of(B, Parked) == Parked(B, Attempts(), ParkReason.INPUT_FAILED)


def test_a_step_is_not_bound_by_a_moment() -> None:
    saga = started(Plan.of(step("a")))
    saga.tell(Ticked(saga.moment, (Until(A, Moment(5)),)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_FAILED


def test_nothing_ends_a_sleep_but_the_clock() -> None:
    saga = started(Plan.of(sleep("a", timeout=Micros(SECOND)), wait("b")))
    saga.wait(SECOND)
    saga.receive("paid")
    assert saga.kinds() == {"a": "Sleeping", "b": "Succeeded"}
    assert saga.row.due == SECOND
    saga.tell(HandedBack(saga.moment))
    saga.tick()
    assert saga.status is SagaStatus.COMPLETED


# The saga's own times.


def test_a_delayed_saga_begins_nothing_before_its_time() -> None:
    saga = Saga(THREE)
    moved = saga.tell(Started(saga.moment, THREE.id, bound(A), delay=Micros(SECOND)))
    assert (moved.needs, moved.actions, moved.writes) == ((), (), (Release(Moment(SECOND)),))
    assert (saga.status, saga.row.waits) == (SagaStatus.SUSPENDED, WaitReason.TIMER)
    assert saga.refusal(StepSkipped(saga.moment, A)) is Refusal.NOT_WAITING
    saga.wait(SECOND)
    saga.resume(A)
    assert saga.kinds() == {"a": "Running"}
    assert saga.state.begins_at == 0


def test_a_delayed_saga_whose_moment_has_come_may_begin_with_the_event_that_it_waits_for() -> None:
    plan = Plan.of(wait("a"), step("b", "a"))
    saga = Saga(plan)
    saga.tell(Started(saga.moment, plan.id, delay=Micros(SECOND)))
    saga.wait(SECOND)
    saga.receive("paid")  # nobody has claimed it: its sender folds the event, and `tell` asks all laws
    assert saga.of(A, Succeeded).seq == 2
    saga.resume(B)
    assert saga.kinds() == {"a": "Succeeded", "b": "Running"}


def test_a_delayed_saga_whose_moment_has_come_may_begin_to_wait_as_its_moments_are_moved() -> None:
    plan = Plan.of(wait("a", timeout=Micros(SECOND)), deadline=Micros(9 * SECOND))
    saga = Saga(plan)
    saga.tell(Started(saga.moment, plan.id, delay=Micros(SECOND)))
    saga.wait(3 * SECOND)
    saga.tell(MomentsMoved(saga.moment, Moment(2 * SECOND), saga.moment))  # it has begun before the pause, by its clock
    assert (saga.of(A, Waiting).set_at, saga.of(A, Waiting).times_out_at) == (saga.moment, saga.moment + SECOND)


def test_a_wait_that_is_retried_in_a_pause_begins_again_with_its_end() -> None:
    plan = Plan.of(step("a", undo=False, pivot=True), wait("b", "a", timeout=Micros(SECOND)))
    saga = started(plan, A)
    saga.succeed(A)
    saga.wait(SECOND)
    saga.resume()
    assert saga.of(B, Parked).why is ParkReason.PAST_PIVOT
    saga.tell(PauseRequested(saga.moment))
    saga.tell(RetryRequested(saga.moment, B))
    saga.wait(MINUTE)
    saga.tell(ResumeRequested(saga.moment))
    assert (saga.of(B, Waiting).set_at, saga.of(B, Waiting).times_out_at) == (saga.moment, saga.moment + SECOND)


def test_a_delay_that_is_none_is_none() -> None:
    saga = Saga(THREE)
    saga.tell(Started(Moment(5), THREE.id, delay=Micros(-3)))
    assert saga.state.begins_at == 0


def test_a_saga_that_is_late_turns_back_and_awaits_what_runs() -> None:
    plan = Plan.of(step("a"), step("b", "a"), deadline=Micros(SECOND))
    saga = started(plan, A)
    assert saga.row.due is not None
    saga.wait(SECOND)
    moved = saga.tick()
    assert (moved.timed_out, moved.actions, saga.state.goal) == ("", (), Goal.ROLLBACK)
    saga.succeed(A)
    assert saga.kinds() == {"a": "Undoing"}
    saga.wait(SECOND)
    assert saga.tick().timed_out is None, "once"


def test_a_saga_that_compensates_nothing_halts_when_it_is_late() -> None:
    plan = Plan.of(
        step("a"), sleep("b", "a", timeout=Micros(MINUTE)), deadline=Micros(SECOND), compensate_on_failure=False
    )
    saga = started(plan, A)
    saga.succeed(A)
    assert saga.row.due == SECOND
    saga.wait(SECOND)
    saga.resume()
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {"a": "not undone"})
    saga.tell(RetryRequested(saga.moment))
    assert saga.state.deadline is None, "a person goes on with it, knowing that it is late"
    assert saga.of(B, Sleeping).wake == SECOND + MINUTE


def test_an_aborted_saga_that_is_taken_up_when_its_deadline_has_come_goes_on_without_it() -> None:
    saga = started(Plan.of(step("a"), deadline=Micros(SECOND)), A)
    saga.abort()
    saga.wait(SECOND)
    saga.tell(RetryRequested(saga.moment))
    assert saga.state.deadline is None


def test_a_deadline_that_is_not_over_holds_for_a_person_too() -> None:
    plan = Plan.of(step("a"), deadline=Micros(MINUTE), compensate_on_failure=False)
    saga = started(plan, A)
    saga.fail(A)
    assert saga.status is SagaStatus.FAILED
    saga.tell(RetryRequested(saga.moment))
    assert saga.state.deadline == MINUTE


@pytest.mark.predecessor(32)
def test_time_never_runs_back() -> None:
    saga = started(AGAIN, A)
    saga.wait(100)
    saga.tick()
    saga.tell(EventReceived(Moment(3)))
    assert saga.state.at == 100
    assert saga.row.due == 100
