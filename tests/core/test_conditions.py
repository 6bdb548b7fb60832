"""Conditional steps: what is not taken is done without having run, and never after something may have run."""

from __future__ import annotations

import msgspec

from saga_fn.core.effects import Refusal, Release, RunStep
from saga_fn.core.events import (
    Bound,
    CompensationRequested,
    Declined,
    EventReceived,
    FailureKind,
    PlanChanged,
    RetryRequested,
    Started,
    StepSkipped,
    StepSucceeded,
    Ticked,
    Unbindable,
)
from saga_fn.core.ids import Digest
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import NotTaken, Parked, ParkReason, Retrying, Unknown
from tests.core.given import THRICE, A, B, C, Saga, bound, sequence, started, step

MIDDLE = Plan.of(step("a"), step("b", "a", when=True), step("c", "b"))
FIRST = Plan.of(step("a", when=True, retry=THRICE, unknown_retry=THRICE), step("b", "a"))
DIGEST = Digest(b"input")


def test_a_step_that_is_not_taken_is_passed_over() -> None:
    saga = started(MIDDLE, A)
    moved = saga.tell(StepSucceeded(saga.moment, A, 1, (Declined(B), Bound(C, DIGEST))))
    assert moved.actions == (RunStep(C, 1, 0),)
    assert saga.kinds() == {A: "Succeeded", B: "NotTaken", C: "Running"}
    saga.succeed(C)
    assert saga.status is SagaStatus.COMPLETED


def test_what_follows_it_needs_its_input_in_its_turn() -> None:
    saga = started(MIDDLE, A)
    moved = saga.tell(StepSucceeded(saga.moment, A, 1, (Declined(B),)))
    assert moved.needs == (C,)
    assert moved.writes == (Release(saga.moment),)


def test_it_is_taken_if_its_condition_holds() -> None:
    saga = started(MIDDLE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    assert saga.kinds()[B] == "Succeeded"


def test_a_saga_of_which_nothing_is_taken_is_completed() -> None:
    saga = Saga(Plan.of(step("a", when=True), step("b", "a", when=True)))
    moved = saga.tell(Started(saga.moment, saga.plan.id, (Declined(A), Declined(B))))
    assert (saga.status, moved.writes, moved.actions) == (SagaStatus.COMPLETED, (Release(None),), ())


def test_what_was_not_taken_is_not_undone() -> None:
    saga = started(MIDDLE, A)
    saga.tell(StepSucceeded(saga.moment, A, 1, (Declined(B), Bound(C, DIGEST))))
    saga.fail(C)
    assert saga.kinds() == {A: "Undoing", B: "NotTaken", C: "FailedForGood"}
    saga.undo(A)
    assert (saga.status, saga.leftovers) == (SagaStatus.COMPENSATED, {})


def test_an_aborted_saga_leaves_nothing_of_it_and_goes_on_without_it() -> None:
    saga = started(MIDDLE, A)
    saga.tell(StepSucceeded(saga.moment, A, 1, (Declined(B), Bound(C, DIGEST))))
    saga.abort()
    assert set(saga.leftovers) == {A, C}
    saga.tell(RetryRequested(saga.moment))
    assert saga.of(B, NotTaken) == NotTaken(B)
    saga.ask(CompensationRequested(saga.moment))


def test_no_person_passes_over_what_was_not_taken() -> None:
    saga = started(MIDDLE, A)
    saga.tell(StepSucceeded(saga.moment, A, 1, (Declined(B),)))
    assert saga.refusal(StepSkipped(saga.moment, B)) is Refusal.NOT_WAITING


def test_only_a_conditional_step_can_be_declined() -> None:
    saga = started(sequence("a"))
    saga.tell(Ticked(saga.moment, (Declined(A),)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_FAILED


def test_a_condition_that_could_not_be_asked_is_asked_again_by_a_person() -> None:
    saga = Saga(FIRST)
    saga.tell(Started(saga.moment, FIRST.id, (Unbindable(A),)))
    saga.tell(RetryRequested(saga.moment))
    saga.tell(Ticked(saga.moment, (Declined(A),)))
    saga.of(A, NotTaken)


def test_a_repeat_that_says_otherwise_is_a_changed_input() -> None:
    saga = started(FIRST, A)
    saga.fail(A)
    saga.wait(1_000_000)
    saga.tell(Ticked(saga.moment, (Declined(A),)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_CHANGED
    saga.tell(RetryRequested(saga.moment))  # a person accepts it
    saga.tell(Ticked(saga.moment, (Declined(A),)))
    saga.of(A, NotTaken)


def test_an_event_may_turn_the_condition_of_a_failed_attempt() -> None:
    saga = started(FIRST, A)
    saga.fail(A)
    saga.tell(EventReceived(saga.moment))
    assert saga.of(A, Retrying).wake == saga.moment
    saga.tell(Ticked(saga.moment, (Declined(A),)))
    saga.of(A, NotTaken)


def test_what_may_have_run_is_not_passed_over() -> None:
    saga = started(FIRST, A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.tell(EventReceived(saga.moment))
    saga.tell(Ticked(saga.moment, (Declined(A),)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_CHANGED
    saga.tell(RetryRequested(saga.moment))
    saga.tell(Ticked(saga.moment, (Declined(A),)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_CHANGED, "not even where a person has accepted another input"


def test_after_a_takeover_it_may_have_run() -> None:
    saga = started(FIRST, A)
    saga.take_over()
    saga.of(A, Unknown)
    saga.tell(Ticked(saga.moment, (Declined(A),)))
    assert saga.of(A, Parked).why is ParkReason.INPUT_CHANGED


def test_a_plan_that_lost_the_condition_does_not_fit_what_was_passed_over() -> None:
    saga = started(MIDDLE, A)
    saga.tell(StepSucceeded(saga.moment, A, 1, (Declined(B), Bound(C, DIGEST))))
    always = sequence("abc")
    saga.plan = always
    assert saga.refusal(PlanChanged(saga.moment, always.id)) is Refusal.PLAN_MISMATCH


def test_conditional_steps_and_others_are_not_interchangeable() -> None:
    from saga_fn.core.explore.view import interchangeable

    assert interchangeable(Plan.of(step("a", when=True), step("b"))) == ()
    assert interchangeable(Plan.of(step("a", when=True), step("b", when=True))) == ((A, B),)


def test_a_plan_survives_its_encoding_with_its_condition() -> None:
    from saga_fn.core.plan import PlanData

    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(MIDDLE.data), type=PlanData)
    assert Plan.from_data(stored) == MIDDLE
    assert sequence("abc") != MIDDLE
    assert bound(A)
