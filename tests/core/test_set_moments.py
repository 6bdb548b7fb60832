"""A moment that was set during a pause is moved by the rest of it; one that a person has named is not moved at all."""

from __future__ import annotations

import pytest

from saga_fn.core.events import (
    AbortRequested,
    FailureKind,
    MomentsMoved,
    Paused,
    PauseRequested,
    Rescheduled,
    ResumeRequested,
    Started,
    StepFailed,
)
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.plan import Plan
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import PauseState, Retrying, Sleeping
from tests.core.given import A, B, Saga, sleep, started, step

SLEEPS = Plan.of(sleep("a", timeout=Micros(60)), sleep("b", timeout=Micros(500)), deadline=Micros(1000))
SLOWLY = RetrySchedule(3, Micros(100))


def moved(since: int, until: int) -> MomentsMoved:
    return MomentsMoved(Moment(until), Moment(since), Moment(until))


@pytest.mark.parametrize("to", [30, 45, 90])
def test_a_moment_that_a_person_has_named_stays_whatever_pause_ends(to: int) -> None:
    saga = started(SLEEPS)
    saga.tell(Rescheduled(Moment(30), Moment(to), A))
    for since, until, other in ((10, 50, 540), (10, 55, 545), (70, 80, 555)):
        saga.tell(moved(since, until))
        assert saga.of(A, Sleeping).wake == to
        assert (saga.of(B, Sleeping).wake, saga.state.deadline) == (other, other + 500)


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize(
    "to, begins, deadline", [(80, 80, 1080), (40, 0, 1060), (30, 0, 1060)], ids=["after it", "in it", "now"]
)
def test_a_begin_that_a_person_has_named_stays_and_its_deadline_is_moved_by_the_pause_after_it(
    by_name: bool, to: int, begins: int, deadline: int
) -> None:
    plan = Plan.of(step("a"), deadline=Micros(1000))
    saga = Saga(plan)
    saga.tell(Started(Moment(0), plan.id, delay=Micros(500)))
    if by_name:
        saga.tell(Rescheduled(Moment(30), Moment(to)))
        if to < 60:
            saga.tell(moved(10, 60))
    else:
        saga.tell(PauseRequested(Moment(10)))
        saga.tell(Rescheduled(Moment(30), Moment(to)))
        saga.tell(ResumeRequested(Moment(60), extend=True))
    assert (saga.state.begins_at, saga.state.deadline) == (begins, deadline)


def test_nothing_is_remembered_of_a_named_begin_once_the_saga_has_begun() -> None:
    saga = Saga(Plan.of(step("a")))
    saga.tell(Started(Moment(0), saga.plan.id, delay=Micros(500)))
    saga.tell(Rescheduled(Moment(30), Moment(80)))
    assert saga.state.pause == PauseState(begin_named=Moment(80))
    saga.resume()
    assert saga.state.pause == PauseState(begin_named=Moment(80))
    saga.wait(80)
    saga.resume()
    assert saga.state.pause is None


def test_a_next_attempt_that_was_set_during_a_pause_waits_as_long_as_was_meant_after_it() -> None:
    saga = started(Plan.of(step("a", retry=SLOWLY)), A)
    saga.tell(Paused(Moment(0)))
    saga.tell(StepFailed(Moment(40), A, 1, FailureKind.ERROR))
    wake = saga.of(A, Retrying).wake
    assert wake > 40
    saga.tell(moved(10, 70))
    assert saga.of(A, Retrying).wake == wake + 30
    saga.tell(moved(5, 80))  # a pause around it
    assert saga.of(A, Retrying).wake == wake + 40


def test_a_named_begin_of_a_saga_that_ends_before_it_changes_nothing() -> None:
    saga = Saga(Plan.of(step("a")))
    saga.tell(Started(Moment(0), saga.plan.id, delay=Micros(500)))
    saga.tell(Rescheduled(Moment(30), Moment(80)))
    saga.tell(AbortRequested(Moment(40), Moment(40)))
    assert saga.state.ended
