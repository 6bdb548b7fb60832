"""The way forward: what starts when, with which input, and when all is done."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Release, RunStep
from saga_fn.core.events import Bound, EventReceived, Resumed, RetryRequested, Started, StepSucceeded, Unbindable
from saga_fn.core.ids import Moment
from saga_fn.core.leftovers import left_over
from saga_fn.core.projection import Projection, SagaStatus, WaitReason
from saga_fn.core.state import Parked, ParkReason, Running, Succeeded
from tests.core.given import (
    AGAIN,
    DIAMOND,
    ONE,
    OTHER,
    SECOND,
    THREE,
    TWO_ROOTS,
    A,
    B,
    C,
    D,
    Saga,
    bound,
    started,
)


def test_a_start_with_inputs_runs_at_once_and_stays_owned() -> None:
    moved = Saga(THREE).start(A)
    assert moved.actions == (RunStep(A, 1, 0),)
    assert moved.writes == ()
    assert moved.needs == ()
    assert moved.state.rev == 1


def test_a_start_without_inputs_waits_for_a_claim() -> None:
    saga = Saga(THREE)
    saga.wait(7)
    moved = saga.start()
    assert moved.needs == (A,)
    assert moved.actions == ()
    assert moved.writes == (Release(Moment(7)),)
    assert saga.row == Projection(SagaStatus.RUNNING, WaitReason.NOTHING, Moment(7), 0, A, None)


def test_a_start_with_an_input_that_cannot_be_computed_is_parked_at_birth() -> None:
    saga = Saga(THREE)
    moved = saga.tell(Started(Moment(0), THREE.id, (Unbindable(A),)))
    assert moved.writes == (Release(None),)
    assert saga.row == Projection(
        SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, A, "input_failed", wakes_on_message=False, problem_step=A
    )


def test_all_roots_start_together() -> None:
    assert Saga(TWO_ROOTS).start(A, B).actions == (RunStep(A, 1, 0), RunStep(B, 1, 0))


@pytest.mark.predecessor(1)
def test_a_success_starts_the_next_step_or_leaves_it_due() -> None:
    with_input = started(THREE, A)
    assert with_input.succeed(A, B).actions == (RunStep(B, 1, 0),)
    without = started(THREE, A)
    moved = without.succeed(A)
    assert moved.needs == (B,)
    assert moved.writes == (Release(without.moment),)
    assert without.row.due == without.moment


@pytest.mark.predecessor(1)
def test_an_input_that_cannot_be_computed_parks_its_step_in_plain_view() -> None:
    saga = started(THREE, A)
    saga.tell(StepSucceeded(Moment(0), A, 1, (Unbindable(B),)))
    assert saga.row == Projection(
        SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, B, "input_failed", wakes_on_message=False, problem_step=B
    )
    assert saga.tell(RetryRequested(Moment(0))).needs == (B,)


def test_the_last_success_completes() -> None:
    saga = started(ONE, A)
    moved = saga.succeed(A)
    assert moved.writes == (Release(None),)
    assert saga.row == Projection(SagaStatus.COMPLETED, WaitReason.NOTHING, None, 0, None, None)
    assert left_over(saga.plan, saga.state) == ()


def test_a_join_waits_for_all_of_its_branches() -> None:
    saga = started(DIAMOND, A)
    assert saga.succeed(A, B, C).actions == (RunStep(B, 1, 0), RunStep(C, 1, 0))
    moved = saga.succeed(C)
    assert (moved.needs, moved.actions, moved.writes) == ((), (), ())
    assert saga.succeed(B, D).actions == (RunStep(D, 1, 0),)


def test_a_result_is_named_by_the_entry_that_recorded_it() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    assert (saga.of(A, Succeeded).seq, saga.of(B, Succeeded).seq) == (2, 3)


# Inputs.


def test_a_repeat_with_the_same_input_keeps_its_generation() -> None:
    saga = started(ONE, A)
    saga.tell(EventReceived(Moment(0)))
    assert saga.take_over(A).actions[-1] == RunStep(A, 2, 0)


def test_a_repeat_with_another_input_is_parked_until_a_person_accepts_it() -> None:
    saga = started(ONE, A)
    saga.tell(Resumed(Moment(0), takeover=True, inputs=(Bound(A, OTHER),)))
    assert saga.row.parked == "input_changed"
    saga.tell(RetryRequested(Moment(0)))
    assert saga.tell(Resumed(Moment(0), inputs=(Bound(A, OTHER),))).actions == (RunStep(A, 2, 1),)


def test_accepting_another_input_begins_a_fresh_count() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    saga.wait(SECOND)
    saga.tell(Resumed(saga.moment, inputs=(Bound(A, OTHER),)))
    assert saga.row == Projection(
        SagaStatus.SUSPENDED, WaitReason.PARKED, None, 1, A, "input_changed", wakes_on_message=False, problem_step=A
    )
    saga.tell(RetryRequested(saga.moment))
    assert saga.row.retry_counter == 0


def test_an_event_excuses_another_input_which_is_a_new_generation() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    saga.tell(EventReceived(Moment(0)))
    saga.wait(SECOND)
    moved = saga.tell(Resumed(saga.moment, inputs=(Bound(A, OTHER),)))
    assert moved.actions[-1] == RunStep(A, 2, 1)
    # It has seen that event now.
    saga.fail(A)
    saga.wait(SECOND)
    saga.tell(Resumed(saga.moment, inputs=bound(A)))
    assert saga.row.parked == "input_changed"


def test_no_event_excuses_another_input_of_what_may_have_run_as_it_was() -> None:
    saga = started(ONE, A)
    saga.tell(EventReceived(Moment(0)))
    saga.tell(Resumed(Moment(0), takeover=True, inputs=(Bound(A, OTHER),)))
    assert saga.row.parked == "input_changed", (
        "its answer to the other input would not say whether the first one was done"
    )


def test_of_several_steps_each_is_bound_by_its_own_input() -> None:
    saga = Saga(TWO_ROOTS)
    saga.tell(Started(Moment(0), TWO_ROOTS.id, (Bound(A, OTHER), Unbindable(B))))
    assert saga.of(A, Running).attempts.digest == OTHER
    assert saga.of(B, Parked).why is ParkReason.INPUT_FAILED


def test_inputs_that_were_not_asked_for_are_ignored() -> None:
    saga = started(THREE, A)
    saga.tick(A, B, C)
    assert saga.kinds() == {A: "Running"}


def test_an_input_of_what_cannot_be_read_is_parked_as_that() -> None:
    saga = Saga(THREE)
    saga.tell(Started(Moment(0), THREE.id, (Unbindable(A, unreadable=True),)))
    assert saga.of(A, Parked).why is ParkReason.PAYLOAD_UNREADABLE
