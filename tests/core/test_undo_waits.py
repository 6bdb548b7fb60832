"""Compensations that wait for an event, and are called again with it."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Refusal, Rejection, Release, RunCompensation
from saga_fn.core.events import CompensationWaits, RetryRequested, SagaParked
from saga_fn.core.ids import Micros, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import ParkReason, Undoing, UndoRetrying, UndoWaiting
from tests.core.given import MINUTE, SECOND, THRICE, A, B, Saga, started, step


def undoing(*, retried: bool = False) -> Saga:
    """A saga whose first step is being undone."""
    plan = Plan.of(step("a", undo_waits=("paid",), undo_retry=THRICE if retried else None), step("b", "a"))
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.fail(B)
    return saga


def test_a_compensation_may_wait_and_is_called_again_with_the_event() -> None:
    saga = undoing()
    moved = saga.undo_waits(A)
    assert saga.of(A, UndoWaiting).names == ("paid",)
    assert moved.writes == (Release(None),)
    assert (saga.status, saga.row.waits, saga.row.current_step) == (SagaStatus.SUSPENDED, WaitReason.EVENT, A)
    heard = saga.state.rev + 1
    moved = saga.hear("paid")
    assert moved.actions == (RunCompensation(A, 2, saga.of(A, Undoing).seq, heard),)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_a_compensation_takes_what_came_before_it_waited() -> None:
    saga = started(Plan.of(step("a", undo_waits=("paid",)), step("b", "a")), A)
    saga.receive("paid", b"yours")
    saga.receive("paid", b"mine")
    heard = saga.state.rev
    saga.succeed(A, B)
    saga.fail(B)
    saga.undo_waits(A, correlation=b"mine")
    assert saga.of(A, Undoing).attempts.generation == heard
    assert [event.correlation for event in saga.state.buffered] == [b"yours"]


def test_a_compensation_keeps_what_it_was_called_with_when_it_is_tried_again() -> None:
    saga = undoing(retried=True)
    saga.undo_waits(A)
    heard = saga.state.rev + 1
    saga.hear("paid")
    saga.fail_undo(A)
    saga.wait(SECOND)
    assert saga.resume().actions == (RunCompensation(A, 3, saga.of(A, Undoing).seq, heard),)


def test_a_wait_of_a_compensation_that_is_over_is_a_failed_attempt() -> None:
    saga = undoing()
    saga.undo_waits(A, timeout=Micros(MINUTE))
    assert saga.row.due == MINUTE
    saga.wait(MINUTE)
    assert saga.resume().timed_out == A
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {"a": "undo failed"})
    again = undoing(retried=True)
    again.undo_waits(A, timeout=Micros(MINUTE))
    again.wait(MINUTE - 1)
    again.resume()
    assert again.kinds()[A] == "UndoWaiting", "not a microsecond early"
    again.wait(1)
    again.resume()
    assert again.of(A, UndoRetrying).wake == MINUTE + SECOND


def test_an_event_for_something_else_leaves_the_compensation_waiting() -> None:
    saga = undoing()
    saga.undo_waits(A, correlation=b"mine")
    saga.receive("paid", b"yours")
    assert saga.kinds()[A] == "UndoWaiting"


def test_a_compensation_that_waits_for_nothing_in_particular_takes_what_is_about_anything() -> None:
    saga = undoing()
    saga.undo_waits(A)
    saga.hear("paid", b"yours")
    assert saga.kinds()[A] == "Undoing"


def test_a_compensation_does_not_take_what_was_void_before_it_waited() -> None:
    saga = undoing()
    saga.receive("paid", expires=SECOND)
    saga.wait(SECOND)
    saga.undo_waits(A)
    assert saga.kinds()[A] == "UndoWaiting"


def test_a_compensation_waits_only_for_what_its_plan_names() -> None:
    saga = undoing()
    undeclared = Rejection(Refusal.UNDECLARED_EVENT, A)
    assert saga.rejection(CompensationWaits(saga.moment, A, 1, ("sent",))) == undeclared


def test_a_late_wait_of_a_compensation_is_refused() -> None:
    saga = undoing()
    assert saga.refusal(CompensationWaits(saga.moment, A, 2, ("paid",))) is Refusal.LATE
    assert saga.refusal(CompensationWaits(saga.moment, StepId("x"), 1, ("paid",))) is Refusal.UNKNOWN_STEP


def test_a_person_may_end_or_park_a_compensation_that_waits() -> None:
    saga = undoing()
    saga.undo_waits(A)
    assert saga.refusal(RetryRequested(saga.moment)) is Refusal.NOTHING_TO_RETRY
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    assert saga.kinds()[A] == "UndoParked"
    other = undoing()
    other.undo_waits(A)
    other.abort()
    assert other.leftovers == {"a": "undo failed"}


@pytest.mark.parametrize("came", ["paid", "refused"])
def test_a_compensation_may_wait_for_any_of_the_events_that_its_step_declares(came: str) -> None:
    saga = started(Plan.of(step("a", undo_waits=("paid", "refused", "sent")), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.undo_waits(A, "paid", "refused")
    saga.receive("sent")
    assert saga.of(A, UndoWaiting).names == ("paid", "refused")
    heard = saga.state.rev + 1
    saga.hear(came)
    assert saga.of(A, Undoing).attempts.generation == heard


@pytest.mark.parametrize("names", [(), ("paid", "sent"), ("sent",)])
def test_it_waits_for_nothing_else(names: tuple[str, ...]) -> None:
    saga = undoing()
    undeclared = Rejection(Refusal.UNDECLARED_EVENT, A)
    assert saga.rejection(CompensationWaits(saga.moment, A, 1, names)) == undeclared
