"""The specification, event by event: what each does in which state. Read as given, when, then."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import CancelExecution, Refusal, Release, RunCompensation, RunStep
from saga_fn.core.events import (
    AbortRequested,
    Bound,
    CompensationFailed,
    CompensationRequested,
    CompensationSucceeded,
    EventReceived,
    FailureKind,
    HandedBack,
    PlanChanged,
    Resumed,
    RetryRequested,
    SagaParked,
    Started,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    Ticked,
    Unbindable,
)
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.leftovers import LeftOver, LeftOverKind, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import Projection, SagaStatus, WaitReason
from saga_fn.core.reading import find
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.rules.ownership import CRASH_LIMIT
from saga_fn.core.state import (
    Doubt,
    Exhausted,
    Parked,
    ParkReason,
    Retrying,
    Running,
    Skipped,
    Succeeded,
    Tries,
    UndoFailed,
    Undoing,
    Undone,
    UndoParked,
    UndoRetrying,
    Unknown,
)
from tests.core.given import (
    AT_ONCE,
    DIAMOND,
    ONE,
    SECOND,
    THREE,
    THRICE,
    TWO_ROOTS,
    A,
    B,
    C,
    D,
    Saga,
    bound,
    sequence,
    started,
    step,
)

AGAIN = sequence("abc", retry=THRICE)
REPEATED_AT_ONCE = sequence("a", retry=AT_ONCE)
OTHER = Digest(b"other")


# Started (seed 1.4, row 1).


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
    assert saga.row == Projection(SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, A, "input_failed")


def test_all_roots_start_together() -> None:
    assert Saga(TWO_ROOTS).start(A, B).actions == (RunStep(A, 1, 0), RunStep(B, 1, 0))


# StepSucceeded (rows 4, 5).


def test_weakness_01_a_success_starts_the_next_step_or_leaves_it_due() -> None:
    with_input = started(THREE, A)
    assert with_input.succeed(A, B).actions == (RunStep(B, 1, 0),)
    without = started(THREE, A)
    moved = without.succeed(A)
    assert moved.needs == (B,)
    assert moved.writes == (Release(without.moment),)
    assert without.row.due == without.moment


def test_weakness_01_an_input_that_cannot_be_computed_parks_its_step_in_plain_view() -> None:
    saga = started(THREE, A)
    saga.tell(StepSucceeded(Moment(0), A, 1, (Unbindable(B),)))
    assert saga.row == Projection(SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, B, "input_failed")
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


def test_weakness_31_an_output_that_cannot_be_kept_parks_and_is_not_run_again() -> None:
    saga = started(AGAIN, A)
    saga.fail(A, FailureKind.OUTPUT_LOST)
    assert saga.row == Projection(SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, A, "output_lost")
    assert saga.resume(A).actions == ()
    saga.tell(CompensationRequested(Moment(0)))
    assert saga.leftovers == {A: "ran, output lost"}


# StepFailed (rows 6, 7, 8).


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
    saga = started(sequence("a", retry=RetrySchedule(attempts=2, base=1000, jitter=0.5)), A)
    saga.fail(A, draw=0.5)
    assert saga.of(A, Retrying).wake == 750


def test_weakness_04_a_timeout_is_counted_like_any_failure() -> None:
    saga = started(ONE, A)
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.status is SagaStatus.FAILED
    assert saga.leftovers == {A: "may have run"}


def test_a_failure_without_a_delay_is_repeated_in_the_same_commit() -> None:
    saga = started(REPEATED_AT_ONCE, A)
    moved = saga.fail(A)
    assert moved.actions == (RunStep(A, 2, 0),)
    assert moved.writes == ()
    assert saga.fail(A).actions == (RunStep(A, 3, 0),)
    saga.fail(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_an_event_that_came_while_it_ran_is_seen_by_a_retry_without_delay() -> None:
    saga = started(REPEATED_AT_ONCE, A)
    saga.tell(EventReceived(Moment(0)))
    moved = saga.fail(A)
    assert (moved.needs, moved.actions) == ((A,), ())
    assert saga.tell(Ticked(Moment(0), (Bound(A, OTHER),))).actions == (RunStep(A, 2, 1),)


def test_the_last_failure_turns_the_saga_back() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    moved = saga.fail(C)
    assert moved.actions == (RunCompensation(B, 1, 3),)
    assert moved.writes == ()
    assert saga.status is SagaStatus.COMPENSATING
    assert saga.row.current_step == B


def test_the_first_steps_failure_has_nothing_to_undo() -> None:
    saga = started(THREE, A)
    saga.fail(A)
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.of(A, Exhausted).tries.failures == 1


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
    assert saga.kinds() == {A: "Exhausted", B: "Exhausted"}
    assert saga.status is SagaStatus.FAILED


def test_a_payload_that_cannot_be_read_parks_without_counting() -> None:
    saga = started(AGAIN, A)
    saga.fail(A, FailureKind.UNREADABLE)
    parked = saga.of(A, Parked)
    assert (parked.why, parked.tries.failures, parked.tries.doubt) == (ParkReason.PAYLOAD_UNREADABLE, 0, Doubt.NONE)


def test_a_refusal_is_final_and_leaves_no_doubt() -> None:
    saga = started(AGAIN, A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.resume(A)
    moved = saga.fail(A, FailureKind.REFUSED)
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.of(A, Exhausted) == Exhausted(A, Tries(2, 2, Doubt.NONE, Digest(b"input")))
    assert moved.needs == ()


def test_doubt_never_shrinks_with_further_attempts() -> None:
    saga = started(AGAIN, A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.resume(A)
    saga.fail(A)
    assert saga.of(A, Retrying).tries.doubt is Doubt.MAY_HAVE_RUN
    saga.wait(SECOND)
    saga.resume(A)
    saga.fail(A, FailureKind.OUTPUT_LOST)
    saga.tell(RetryRequested(saga.moment))
    saga.resume(A)
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.of(A, Retrying).tries.doubt is Doubt.OUTPUT_LOST


# Rolling back (rows 9 to 13).


def test_compensations_run_in_reverse_one_after_the_other() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    assert saga.undo(B).actions == (RunCompensation(A, 1, 2),)
    moved = saga.undo(A)
    assert moved.writes == (Release(None),)
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.kinds() == {A: "Undone", B: "Undone", C: "Exhausted"}


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
    assert saga.kinds()[B] == "Exhausted"
    assert saga.status is SagaStatus.COMPENSATED


def test_a_sibling_that_waits_is_given_up() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE)), A, B)
    saga.fail(B)
    saga.fail(A)
    assert saga.kinds() == {A: "Exhausted", B: "Exhausted"}
    assert saga.status is SagaStatus.COMPENSATED


def test_weakness_09_a_step_without_compensation_is_passed_over() -> None:
    saga = started(sequence("abc", undo="a"), A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    assert saga.fail(C).actions == (RunCompensation(A, 1, 2),)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_weakness_10_a_skipped_step_is_never_compensated() -> None:
    saga = started(THREE)
    saga.tell(StepSkipped(Moment(0), A, bound(B)))
    saga.succeed(B, C)
    saga.fail(C)
    saga.undo(B)
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.kinds() == {A: "Skipped", B: "Undone", C: "Exhausted"}


def test_weakness_29_a_rollback_with_nothing_left_to_undo_ends_at_once() -> None:
    saga = started(THREE)
    saga.tell(CompensationRequested(Moment(0)))
    assert saga.status is SagaStatus.COMPENSATED
    assert saga.row.due is None


def test_weakness_28_a_compensation_is_retried_by_its_own_policy() -> None:
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
    saga = started(Plan.of(step("a", undo_retry=RetrySchedule(attempts=2, base=1)), step("b", "a")), A)
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
    assert saga.of(A, UndoParked).tries.failures == 0
    assert saga.row == Projection(SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, A, "payload_unreadable")
    assert saga.tell(RetryRequested(Moment(0))).actions == (RunCompensation(A, 2, 2),)


def test_a_step_whose_outcome_is_unknown_is_never_called_compensated() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    saga.undo(A)
    assert saga.status is SagaStatus.FAILED
    assert saga.leftovers == {B: "may have run"}


# Resumed (rows 15, 16) and Ticked.


def test_weakness_02_a_claim_after_a_loss_makes_the_old_execution_stale() -> None:
    saga = started(THREE, A)
    moved = saga.take_over(A)
    assert moved.actions == (CancelExecution(A), RunStep(A, 2, 0))
    assert saga.refusal(StepSucceeded(Moment(0), A, 1)) is Refusal.LATE
    saga.succeed(A)


def test_what_was_running_is_unknown_until_it_is_repeated() -> None:
    saga = started(THREE, A)
    moved = saga.take_over()
    assert moved.needs == (A,)
    assert saga.of(A, Unknown).tries.doubt is Doubt.MAY_HAVE_RUN
    assert saga.row == Projection(SagaStatus.RUNNING, WaitReason.NOTHING, Moment(0), 0, A, None)


def test_a_compensation_that_was_running_is_run_again() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    moved = saga.take_over()
    assert moved.actions == (CancelExecution(A), RunCompensation(A, 2, 2))
    assert moved.writes == ()


def test_weakness_06_a_crash_loop_is_parked_when_it_ran_alone() -> None:
    saga = started(ONE, A)
    for _ in range(CRASH_LIMIT - 1):
        assert saga.take_over(A, alone=True).actions[-1:] == (RunStep(A, saga.of(A, Running).tries.attempt, 0),)
    moved = saga.take_over(A, alone=True)
    assert moved.actions == (CancelExecution(A),)
    assert saga.row == Projection(SagaStatus.SUSPENDED, WaitReason.PARKED, None, 0, A, "crash_loop")
    assert saga.state.crashes == CRASH_LIMIT


def test_weakness_06_only_a_saga_that_was_alone_is_parked() -> None:
    saga = started(ONE, A)
    for _ in range(CRASH_LIMIT + 2):
        saga.take_over(A)
    assert saga.kinds()[A] == "Running"
    saga.take_over(A, alone=True)
    assert saga.kinds()[A] == "Running"
    saga.take_over(A)
    assert saga.kinds()[A] == "Parked"


def test_weakness_06_a_crash_loop_in_a_compensation_is_parked_too() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    for _ in range(CRASH_LIMIT):
        saga.take_over(alone=True)
    assert saga.of(A, UndoParked).why is ParkReason.CRASH_LOOP


def test_progress_begins_the_count_of_crashes_anew() -> None:
    saga = started(THREE, A)
    saga.take_over(A, alone=True)
    saga.take_over(A, alone=True)
    assert (saga.state.crashes, saga.state.alone) == (2, True)
    saga.succeed(A, B)
    assert (saga.state.crashes, saga.state.alone) == (0, False)


def test_a_claim_of_what_nobody_had_is_no_crash() -> None:
    saga = started(ONE, A)
    saga.take_over(A)
    saga.tell(HandedBack(Moment(0)))
    assert saga.state.crashes == 1
    saga.resume(A)
    assert saga.state.crashes == 1
    saga.tell(HandedBack(Moment(0)))
    saga.tell(Resumed(Moment(0), takeover=True, alone=True))
    assert saga.state.crashes == 1


def test_a_takeover_that_found_nothing_running_does_not_park() -> None:
    saga = started(ONE, A)
    for _ in range(CRASH_LIMIT):
        saga.take_over(A)
    saga.tell(Resumed(Moment(0), takeover=True, alone=True))
    assert saga.state.crashes == CRASH_LIMIT + 1
    saga.tell(Resumed(Moment(0), takeover=True, alone=True))
    assert saga.kinds()[A] == "Unknown"


def test_a_tick_fires_every_timer_that_has_come_and_no_other() -> None:
    late = RetrySchedule(attempts=3, base=2 * SECOND)
    saga = started(Plan.of(step("a", retry=THRICE), step("b", retry=late), step("c", retry=THRICE)), A, B, C)
    for name in (A, B, C):
        saga.fail(name)
    assert saga.row.due == SECOND
    saga.wait(SECOND)
    assert saga.tick().needs == (A, C)
    assert saga.tick(A, C).actions == (RunStep(A, 2, 0), RunStep(C, 2, 0))


def test_weakness_32_time_never_runs_back() -> None:
    saga = started(AGAIN, A)
    saga.wait(100)
    saga.tick()
    saga.tell(EventReceived(Moment(3)))
    assert saga.state.at == 100
    assert saga.row.due == 100


def test_inputs_that_were_not_asked_for_are_ignored() -> None:
    saga = started(THREE, A)
    saga.tick(A, B, C)
    assert saga.kinds() == {A: "Running"}


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
    assert saga.row == Projection(SagaStatus.SUSPENDED, WaitReason.PARKED, None, 1, A, "input_changed")
    saga.tell(RetryRequested(saga.moment))
    assert saga.row.retry_counter == 0


def test_an_event_excuses_another_input_which_is_a_new_generation() -> None:
    saga = started(ONE, A)
    saga.tell(EventReceived(Moment(0)))
    moved = saga.tell(Resumed(Moment(0), takeover=True, inputs=(Bound(A, OTHER),)))
    assert moved.actions[-1] == RunStep(A, 2, 1)
    # It has seen that event now.
    saga.take_over(A)
    assert saga.row.parked == "input_changed"


def test_of_several_steps_each_is_bound_by_its_own_input() -> None:
    saga = Saga(TWO_ROOTS)
    saga.tell(Started(Moment(0), TWO_ROOTS.id, (Bound(A, OTHER), Unbindable(B))))
    assert saga.of(A, Running).tries.digest == OTHER
    assert saga.of(B, Parked).why is ParkReason.INPUT_FAILED


# Outside events.


def test_an_event_wakes_what_waits_and_is_kept() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    moved = saga.tell(EventReceived(Moment(0)))
    assert moved.needs == (A,)
    assert moved.writes == (Release(Moment(0)),)
    assert (saga.state.events, saga.state.latest) == ((3,), 3)


def test_an_event_leaves_what_is_already_due_as_it_is() -> None:
    saga = started(AGAIN, A)
    saga.fail(A)
    saga.wait(2 * SECOND)
    saga.tell(EventReceived(saga.moment))
    assert saga.row.due == SECOND


def test_weakness_12_an_event_that_comes_while_a_step_runs_is_kept() -> None:
    saga = started(THREE, A)
    moved = saga.tell(EventReceived(Moment(0)))
    assert (moved.actions, moved.writes) == ((), ())
    assert saga.state.events == (2,)


def test_weakness_12_an_attempt_that_fails_without_having_seen_an_event_is_repeated_at_once() -> None:
    saga = started(AGAIN, A)
    saga.tell(EventReceived(Moment(0)))
    moved = saga.fail(A)
    assert moved.needs == (A,)
    assert (moved.actions, moved.writes) == ((), (Release(saga.moment),))


def test_weakness_14_a_failure_keeps_the_latest_event_and_a_success_uses_it_up() -> None:
    saga = started(AGAIN, A)
    saga.tell(EventReceived(Moment(0)))
    saga.fail(A)
    assert saga.state.latest == 2
    saga.wait(SECOND)
    saga.resume(A)
    saga.succeed(A, B)
    assert (saga.state.latest, saga.state.events) == (0, (2,))


# A hand-back.


def test_a_hand_back_leaves_nothing_running_and_the_saga_due_at_once() -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.wait(9)
    moved = saga.tell(HandedBack(saga.moment))
    assert moved.actions == (CancelExecution(A), CancelExecution(B))
    assert moved.writes == (Release(Moment(9)),)
    assert moved.needs == ()
    assert saga.kinds() == {A: "Unknown", B: "Unknown"}


def test_executions_are_cancelled_in_the_plans_order() -> None:
    saga = started(Plan.of(step("c", retry=AT_ONCE), step("b"), step("a", retry=AT_ONCE)), A, B, C)
    saga.fail(C)
    assert saga.tell(HandedBack(Moment(0))).actions == (CancelExecution(C), CancelExecution(B), CancelExecution(A))


def test_an_execution_is_cancelled_whatever_its_step_is_called() -> None:
    nameless = StepId("")
    saga = started(Plan.of(step(nameless)), nameless)
    assert saga.tell(HandedBack(Moment(0))).actions == (CancelExecution(nameless),)


def test_a_compensation_that_is_handed_back_is_due_at_once() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.tell(HandedBack(saga.moment)).writes == (Release(Moment(0)),)
    assert saga.of(A, UndoRetrying).tries.attempt == 1
    assert saga.status is SagaStatus.SUSPENDED
    assert saga.resume().actions == (RunCompensation(A, 2, 2),)


def test_a_rollback_that_is_handed_back_with_a_step_running_goes_on() -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.succeed(A)
    saga.tell(CompensationRequested(Moment(0)))
    saga.tell(HandedBack(Moment(0)))
    assert saga.status is SagaStatus.COMPENSATING
    assert saga.resume().actions == (RunCompensation(A, 1, 2),)
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}


def test_a_rollback_with_only_its_end_to_come_is_due() -> None:
    saga = started(ONE, A)
    saga.tell(CompensationRequested(Moment(0)))
    saga.tell(HandedBack(Moment(0)))
    assert saga.row.due == 0
    saga.resume()
    assert saga.status is SagaStatus.FAILED


# An operator's verbs.


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


# What the owner cannot go on with.


def test_parking_a_saga_stops_all_of_it_in_place() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE), step("c")), A, B)
    saga.fail(B)
    moved = saga.tell(SagaParked(Moment(0), ParkReason.ROW_REFUSED))
    assert moved.actions == (CancelExecution(A),)
    assert moved.writes == (Release(None),)
    assert moved.needs == ()
    assert saga.kinds() == {A: "Parked", B: "Parked", C: "Parked"}
    assert {saga.of(name, Parked).why for name in (A, B, C)} == {ParkReason.ROW_REFUSED}
    assert saga.row.parked == "row_refused"
    assert saga.of(A, Parked).tries.doubt is Doubt.MAY_HAVE_RUN
    assert saga.tell(RetryRequested(Moment(0))).needs == (A, B, C)


def test_parking_a_rollback_stops_its_compensations() -> None:
    saga = started(Plan.of(step("a"), step("b", undo_retry=THRICE), step("c", "a", "b")), A, B)
    saga.succeed(A)
    saga.succeed(B, C)
    saga.fail(C)
    saga.fail_undo(B)
    saga.tell(SagaParked(Moment(0), ParkReason.PLAN_CHANGED))
    assert saga.kinds() == {A: "UndoParked", B: "UndoParked", C: "Exhausted"}
    assert saga.row.parked == "plan_changed"
    assert saga.tell(CompensationRequested(Moment(0))).actions == (RunCompensation(A, 2, 2), RunCompensation(B, 2, 3))


def test_parking_a_rollback_that_waits_for_a_step_parks_the_compensations_to_come() -> None:
    saga = started(TWO_ROOTS, A, B)
    saga.succeed(A)
    saga.tell(CompensationRequested(Moment(0)))
    saga.tell(SagaParked(Moment(0), ParkReason.ROW_REFUSED))
    assert saga.kinds() == {A: "UndoParked", B: "Unknown"}
    assert saga.row.parked == "row_refused"
    assert saga.tell(RetryRequested(Moment(0))).actions == (RunCompensation(A, 1, 2),)


# Plans that change.


def test_weakness_27_steps_are_found_by_name_when_the_plan_grows() -> None:
    saga = started(sequence("ac"), A)
    saga.succeed(A)
    saga.plan = Plan.of(step("a"), step("b", "a"), step("c", "b"))
    moved = saga.tell(PlanChanged(Moment(0), saga.plan.id))
    assert moved.needs == (B,)
    assert saga.state.plan == saga.plan.id


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(sequence("bc"), id="a begun step is gone"),
        pytest.param(
            Plan.of(step("a"), step("x", "a"), step("b", "x")), id="a begun step follows one that is not done"
        ),
    ],
)
def test_weakness_27_a_plan_that_does_not_fit_is_refused(changed: Plan) -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.plan = changed
    assert saga.refusal(PlanChanged(Moment(0), changed.id)) is Refusal.PLAN_MISMATCH


def test_a_rollback_may_go_on_under_another_order_but_never_forward_again() -> None:
    saga = started(sequence("ab", undo=""), A)
    saga.succeed(A, B)
    saga.tell(CompensationRequested(Moment(0)))
    saga.plan = Plan.of(step("a", undo=False), step("x", "a"), step("b", "x"))
    saga.tell(PlanChanged(Moment(0), saga.plan.id))
    saga.fail(B, FailureKind.UNKNOWN)
    assert saga.status is SagaStatus.FAILED
    assert saga.refusal(RetryRequested(Moment(0))) is Refusal.PLAN_MISMATCH


def test_a_plan_that_lost_the_steps_to_come_completes_the_saga() -> None:
    saga = started(THREE, A)
    saga.succeed(A)
    saga.plan = ONE
    saga.tell(PlanChanged(Moment(0), ONE.id))
    assert saga.status is SagaStatus.COMPLETED


# Weaknesses of the seed that the core rules out by its shape.


def test_weakness_08_what_is_due_first_is_told_by_one_moment_whatever_the_status() -> None:
    waiting, rolling_back = started(AGAIN, A), started(Plan.of(step("a", undo_retry=THRICE), step("b", "a")), A)
    waiting.fail(A)
    rolling_back.succeed(A, B)
    rolling_back.wait(1)
    rolling_back.fail(B)
    rolling_back.fail_undo(A)
    assert waiting.row.due == SECOND
    assert rolling_back.row.due == SECOND + 1


def test_the_row_names_all_reasons_and_the_soonest_moment() -> None:
    saga = started(Plan.of(step("a", retry=THRICE), step("b")), A, B)
    saga.fail(B, FailureKind.UNREADABLE)
    assert saga.status is SagaStatus.RUNNING
    saga.fail(A)
    assert saga.row == Projection(
        SagaStatus.SUSPENDED,
        WaitReason.RETRY | WaitReason.PARKED,
        Moment(SECOND),
        1,
        A,
        "payload_unreadable",
    )


def test_a_status_knows_whether_it_is_an_end() -> None:
    ends = {status for status in SagaStatus if status.is_terminal}
    assert ends == {SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED}
