"""An operator's verbs: skip, retry, compensate, abort."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Refusal, Rejection, Release, RunCompensation, RunStep
from saga_fn.core.events import (
    AbortRequested,
    BoundEach,
    CompensationRequested,
    FailureKind,
    Finding,
    HandedBack,
    Rescheduled,
    RetryRequested,
    Started,
    StepSettled,
    StepSkipped,
    Ticked,
)
from saga_fn.core.facts import find
from saga_fn.core.ids import Digest, Micros, Moment, StepId
from saga_fn.core.leftovers import LeftOver, LeftOverKind, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import Retrying, Skipped, UndoFailed, Undoing, Undone
from tests.core.given import (
    AGAIN,
    AT_ONCE,
    ONE,
    SECOND,
    THREE,
    THRICE,
    TWO_ROOTS,
    A,
    B,
    C,
    Saga,
    bound,
    sequence,
    started,
    step,
)


def test_retry_makes_what_waits_due_now_with_a_fresh_count() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    moved = saga.tell(RetryRequested(Moment(0)))
    assert moved.needs == (A,)
    assert saga.row.retry_counter == 0
    assert saga.row.due == 0
    assert saga.refusal(RetryRequested(Moment(0))) is Refusal.NOTHING_TO_RETRY


def test_retry_of_a_compensation_that_waits() -> None:
    saga = started(Plan.of(step("a", undo_retry=THRICE), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.fail_undo(A)
    assert saga.ask(RetryRequested(Moment(0))).actions == (RunCompensation(A, 2, 2),)
    assert saga.row.retry_counter == 0


def test_retry_takes_up_a_failed_saga_where_it_failed() -> None:
    saga = started(Plan.of(step("a"), step("b", "a"), compensate_on_failure=False), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.tell(RetryRequested(Moment(0))).needs == (B,)
    assert saga.of(B, Retrying).attempts == saga.of(B, Retrying).attempts.__class__(1, digest=Digest(b"input"))
    saga.resume(B)
    saga.succeed(B)
    assert saga.status is SagaStatus.COMPLETED


def test_a_rollback_that_has_undone_something_cannot_go_forward() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    saga.undo(B)
    saga.fail_undo(A)
    assert saga.refusal(RetryRequested(Moment(0))) is Refusal.COMPENSATION_BEGUN


@pytest.mark.parametrize("kind", [UndoFailed, Undone])
def test_each_trace_of_an_undo_bars_the_way_forward(kind: type[UndoFailed | Undone]) -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.succeed(B)
    saga.fail(A, FailureKind.UNKNOWN)
    if kind is Undone:
        saga.undo(B)
    else:
        saga.fail_undo(B)
    assert isinstance(find(saga.state, B), kind)
    assert saga.refusal(RetryRequested(Moment(0))) is Refusal.COMPENSATION_BEGUN


def test_a_person_gives_the_output_of_a_step_that_waits() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    moved = saga.tell(StepSkipped(Moment(0), A, bound(B)))
    assert moved.actions == (RunStep(B, 1, 0),)
    assert saga.of(A, Skipped).seq == 3


@pytest.mark.parametrize("why", ["parked", "unknown", "unstarted"])
def test_what_waits_can_be_skipped(why: str) -> None:
    saga = started(ONE, *([] if why == "unstarted" else [A]))
    if why == "parked":
        saga.fail(A, FailureKind.UNREADABLE)
    elif why == "unknown":
        saga.tell(HandedBack(Moment(0)))
    saga.tell(StepSkipped(Moment(0), A, not_begun=why == "unstarted"))
    assert saga.status is SagaStatus.COMPLETED


def test_what_does_not_wait_cannot_be_skipped() -> None:
    saga = started(sequence("abc", retry=AT_ONCE), A)
    assert saga.refusal(StepSkipped(Moment(0), A)) is Refusal.NOT_WAITING
    assert saga.refusal(StepSkipped(Moment(0), B)) is Refusal.NOT_WAITING
    saga.succeed(A, B)
    assert saga.refusal(StepSkipped(Moment(0), A)) is Refusal.NOT_WAITING
    saga.ask(CompensationRequested(Moment(0)))
    saga.tell(HandedBack(Moment(0)))
    assert saga.refusal(StepSkipped(Moment(0), B)) is Refusal.NOT_WAITING


def test_a_rollback_can_be_asked_for_at_any_time() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    moved = saga.ask(CompensationRequested(Moment(0)))
    assert (moved.actions, moved.writes) == ((), ())
    assert saga.status is SagaStatus.COMPENSATING
    assert saga.refusal(CompensationRequested(Moment(0))) is Refusal.NOTHING_TO_COMPENSATE
    assert saga.succeed(B).actions == (RunCompensation(B, 1, 4),)
    assert saga.refusal(CompensationRequested(Moment(0))) is Refusal.NOTHING_TO_COMPENSATE


def test_a_failed_rollback_is_taken_up_again() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    saga.fail_undo(B)
    assert saga.ask(CompensationRequested(Moment(0))).actions == (RunCompensation(B, 2, 3),)
    assert saga.of(B, Undoing).attempts.failures == 0
    saga.undo(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_a_halting_saga_can_be_rolled_back_by_a_person() -> None:
    plan = Plan.of(step("a"), step("b"), step("c"), compensate_on_failure=False)
    saga = started(plan, A, B, C)
    saga.fail(A)
    assert saga.refusal(CompensationRequested(Moment(0))) is Refusal.NOTHING_TO_COMPENSATE
    saga.succeed(B)
    assert saga.ask(CompensationRequested(Moment(0))).actions == ()
    saga.fail(C)
    assert saga.kinds()[B] == "Undoing"


def test_a_failed_saga_without_anything_owed_has_nothing_to_compensate() -> None:
    saga = started(ONE, A)
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.refusal(CompensationRequested(Moment(0))) is Refusal.NOTHING_TO_COMPENSATE


@pytest.mark.parametrize("direction", ["waits", "parked"])
def test_abort_leaves_a_compensation_that_waits_undone(direction: str) -> None:
    saga = started(Plan.of(step("a", undo_retry=THRICE), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.fail_undo(A, FailureKind.ERROR if direction == "waits" else FailureKind.UNREADABLE)
    saga.tell(AbortRequested(Moment(0), Moment(SECOND)))
    assert left_over(saga.plan, saga.state) == (LeftOver(A, LeftOverKind.UNDO_FAILED),)
    assert saga.of(A, UndoFailed).seq == 2


def test_abort_gives_up_what_waits() -> None:
    saga = started(Plan.of(step("a", retry=THRICE), step("b"), step("c")), A, B, C)
    saga.fail(A)
    saga.fail(B, FailureKind.UNREADABLE)
    saga.fail(C, FailureKind.OUTPUT_LOST)
    saga.tell(AbortRequested(Moment(0), Moment(SECOND)))
    assert saga.kinds() == {A: "FailedForGood", B: "FailedForGood", C: "FailedForGood"}
    assert saga.leftovers == {C: "ran, output lost"}


def test_what_has_not_begun_is_skipped_only_by_who_says_so() -> None:
    saga = started(THREE)
    assert saga.rejection(StepSkipped(Moment(0), A)) == Rejection(Refusal.NOT_BEGUN, A)
    assert saga.refusal(StepSkipped(Moment(0), B, not_begun=True)) is Refusal.NOT_WAITING
    saga.tell(StepSkipped(Moment(0), A, not_begun=True))
    assert saga.rejection(StepSkipped(Moment(0), A, not_begun=True)) == Rejection(Refusal.NOT_WAITING, A)


def test_a_retry_leaves_alone_what_it_does_not_name() -> None:
    saga = started(Plan.of(step("a", retry=THRICE), step("b", retry=THRICE), step("c", "b")), A, B)
    saga.fail(A)
    saga.fail(B)
    waiting = saga.of(B, Retrying)
    assert saga.tell(RetryRequested(Moment(0), A)).needs == (A,)
    assert saga.of(A, Retrying).attempts.failures == 0
    assert saga.of(B, Retrying) == waiting
    assert saga.rejection(RetryRequested(Moment(0), A)) == Rejection(Refusal.NOTHING_TO_RETRY, A)
    assert saga.rejection(RetryRequested(Moment(0), C)) == Rejection(Refusal.NOTHING_TO_RETRY, C)


def test_a_retry_of_a_fan_out_means_its_items() -> None:
    first, second = StepId("a[0]"), StepId("a[1]")
    saga = started(Plan.of(step("a", concurrency=2, retry=THRICE)))
    saga.tell(Ticked(Moment(0), (BoundEach(A, 2, Digest(b"list")), *bound(first, second, digest=b"list"))))
    saga.fail(first)
    saga.fail(second)
    saga.tell(RetryRequested(Moment(0), first))
    assert saga.of(second, Retrying).wake == SECOND
    saga.tell(RetryRequested(Moment(0), A))
    assert saga.of(second, Retrying).wake == 0


def test_a_retry_of_a_failed_saga_names_what_is_still_to_be_done() -> None:
    saga = started(sequence("abc", undo=""), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.status is SagaStatus.COMPENSATED
    halted = started(Plan.of(step("a"), step("b", "a"), step("c", "b"), compensate_on_failure=False), A)
    halted.succeed(A, B)
    halted.fail(B)
    for name in (A, C):
        assert halted.rejection(RetryRequested(Moment(0), name)) == Rejection(Refusal.NOTHING_TO_RETRY, name)
    assert halted.tell(RetryRequested(Moment(0), B)).needs == (B,)
    aborted = started(THREE)
    aborted.abort()
    aborted.tell(RetryRequested(Moment(0), A))
    assert aborted.status is SagaStatus.RUNNING


def test_a_verb_is_for_the_revision_that_the_operator_saw() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    for verb in (
        StepSkipped(Moment(0), A, expect=1),
        RetryRequested(Moment(0), A, expect=1),
        CompensationRequested(Moment(0), expect=3),
        AbortRequested(Moment(0), Moment(0), expect=1),
        StepSettled(Moment(0), A, expect=1),
    ):
        assert saga.refusal(verb) is Refusal.MOVED_ON
    saga.tell(RetryRequested(Moment(0), A, expect=saga.state.rev))


def test_a_step_that_was_undone_by_hand_lets_the_rest_of_the_rollback_go_on() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    saga.fail_undo(B)
    assert saga.leftovers == {A: "not undone", B: "undo failed"}
    assert saga.refusal(StepSettled(Moment(0), A, finding=Finding.NEVER_RAN)) is Refusal.NOTHING_TO_SETTLE
    assert saga.ask(StepSettled(Moment(0), B)).actions == (RunCompensation(A, 1, 2),)
    assert saga.of(B, Undone).seq == 3
    assert saga.refusal(StepSettled(Moment(0), B)) is Refusal.NOTHING_TO_SETTLE
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


@pytest.mark.parametrize("how", ["parked", "retried", "waiting"])
def test_a_compensation_that_waits_is_over_when_a_person_has_done_it(how: str) -> None:
    saga = started(Plan.of(step("a", undo_retry=THRICE, undo_waits=("paid",)), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    if how == "waiting":
        saga.undo_waits(A)
    else:
        saga.fail_undo(A, FailureKind.UNREADABLE if how == "parked" else FailureKind.ERROR)
    saga.ask(StepSettled(Moment(0), A))
    assert saga.status is SagaStatus.COMPENSATED


def test_a_failed_compensation_that_is_asked_for_again_is_its_second_attempt() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.fail_undo(A)
    assert saga.status is SagaStatus.FAILED
    saga.tell(CompensationRequested(saga.moment))
    assert saga.resume().actions == (RunCompensation(A, 2, 2),)


def test_an_aborted_compensation_is_not_over_before_it_has_stopped() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.abort(until=SECOND)
    assert saga.refusal(StepSettled(Moment(SECOND - 1), A)) is Refusal.MAY_STILL_RUN
    saga.ask(StepSettled(Moment(SECOND), A))
    assert saga.status is SagaStatus.COMPENSATED


def test_a_saga_that_is_to_begin_later_begins_when_a_person_says_so() -> None:
    saga = Saga(Plan.of(step("a"), deadline=Micros(SECOND)))
    saga.tell(Started(Moment(0), saga.plan.id, delay=Micros(10 * SECOND)))
    assert saga.row.due == 10 * SECOND
    moved = saga.tell(Rescheduled(Moment(SECOND), Moment(SECOND)))
    assert (moved.needs, moved.writes) == ((A,), (Release(Moment(SECOND)),))
    assert saga.state.deadline == 2 * SECOND
    assert saga.refusal(Rescheduled(Moment(SECOND), Moment(SECOND))) is Refusal.NOTHING_SLEEPS
    untimed = Saga(ONE)
    untimed.tell(Started(Moment(0), ONE.id, delay=Micros(SECOND)))
    untimed.tell(Rescheduled(Moment(0), Moment(0)))
    assert untimed.state.deadline is None


def test_a_delayed_start_is_put_off_with_its_deadline() -> None:
    saga = Saga(Plan.of(step("a"), deadline=Micros(SECOND)))
    saga.tell(Started(Moment(0), saga.plan.id, delay=Micros(SECOND)))
    assert saga.refusal(Rescheduled(Moment(0), Moment(9 * SECOND), A)) is Refusal.NOTHING_SLEEPS
    assert saga.refusal(Rescheduled(Moment(0), Moment(9 * SECOND), StepId("no such"))) is Refusal.UNKNOWN_STEP
    moved = saga.tell(Rescheduled(Moment(0), Moment(9 * SECOND)))
    assert moved.writes == (Release(Moment(9 * SECOND)),)
    assert saga.state.deadline == 10 * SECOND


def test_a_saga_that_has_turned_back_before_it_began_does_not_begin() -> None:
    saga = Saga(Plan.of(step("a", undo=False)))
    saga.tell(Started(Moment(0), saga.plan.id, delay=Micros(SECOND)))
    saga.ask(CompensationRequested(Moment(0)))
    assert saga.refusal(Rescheduled(Moment(0), Moment(0))) is Refusal.FINISHED
