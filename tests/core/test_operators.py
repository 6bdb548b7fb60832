"""An operator's verbs: skip, retry, compensate, abort."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Refusal, RunCompensation, RunStep
from saga_fn.core.events import (
    AbortRequested,
    CompensationRequested,
    FailureKind,
    HandedBack,
    RetryRequested,
    StepSkipped,
)
from saga_fn.core.ids import Digest, Moment
from saga_fn.core.leftovers import LeftOver, LeftOverKind, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.reading import find
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
    assert saga.tell(RetryRequested(Moment(0))).actions == (RunCompensation(A, 2, 2),)
    assert saga.row.retry_counter == 0


def test_retry_takes_up_a_failed_saga_where_it_failed() -> None:
    saga = started(Plan.of(step("a"), step("b", "a"), compensate_on_failure=False), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.tell(RetryRequested(Moment(0))).needs == (B,)
    assert saga.of(B, Retrying).tries == saga.of(B, Retrying).tries.__class__(1, digest=Digest(b"input"))
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
    saga.tell(StepSkipped(Moment(0), A))
    assert saga.status is SagaStatus.COMPLETED


def test_what_does_not_wait_cannot_be_skipped() -> None:
    saga = started(sequence("abc", retry=AT_ONCE), A)
    assert saga.refusal(StepSkipped(Moment(0), A)) is Refusal.NOT_WAITING
    assert saga.refusal(StepSkipped(Moment(0), B)) is Refusal.NOT_WAITING
    saga.succeed(A, B)
    assert saga.refusal(StepSkipped(Moment(0), A)) is Refusal.NOT_WAITING
    saga.tell(CompensationRequested(Moment(0)))
    saga.tell(HandedBack(Moment(0)))
    assert saga.refusal(StepSkipped(Moment(0), B)) is Refusal.NOT_WAITING


def test_a_rollback_can_be_asked_for_at_any_time() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    moved = saga.tell(CompensationRequested(Moment(0)))
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
    assert saga.tell(CompensationRequested(Moment(0))).actions == (RunCompensation(B, 2, 3),)
    assert saga.of(B, Undoing).tries.failures == 0
    saga.undo(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_a_halting_saga_can_be_rolled_back_by_a_person() -> None:
    plan = Plan.of(step("a"), step("b"), step("c"), compensate_on_failure=False)
    saga = started(plan, A, B, C)
    saga.fail(A)
    assert saga.refusal(CompensationRequested(Moment(0))) is Refusal.NOTHING_TO_COMPENSATE
    saga.succeed(B)
    assert saga.tell(CompensationRequested(Moment(0))).actions == ()
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
    assert saga.kinds() == {A: "Exhausted", B: "Exhausted", C: "Exhausted"}
    assert saga.leftovers == {C: "ran, output lost"}
