"""Steps that may have run: repeated, found out, undone as what may have run, or left to a person."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core.effects import Refusal, Release, RunCompensation, RunProbe
from saga_fn.core.events import (
    CompensationRequested,
    FailureKind,
    HandedBack,
    PlanChanged,
    ProbeAnswered,
    ProbeFailed,
    RetryRequested,
    SagaParked,
    StepSkipped,
)
from saga_fn.core.ids import Digest, Micros, Moment
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.retry import LONGEST_DELAY, RetrySchedule
from saga_fn.core.state import (
    Doubt,
    Goal,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    Undoing,
    UndoRetrying,
    Unknown,
)
from tests.core.given import AT_ONCE, SECOND, THRICE, A, B, C, Saga, started, step

PROBED = Plan.of(step("a"), step("b", "a", retry=THRICE, on_unknown=OnUnknown.PROBE, probe_retry=THRICE))
UNDONE = Plan.of(step("a"), step("b", "a", retry=THRICE, on_unknown=OnUnknown.UNDO))
PARKED = Plan.of(step("a"), step("b", "a", retry=THRICE, on_unknown=OnUnknown.PARK))
PIVOT = Plan.of(step("a"), step("b", "a", undo=False, pivot=True, on_unknown=OnUnknown.PROBE))
LOST = ["timeout", "crash", "hand back"]


def lost(plan: Plan, how: str = "timeout") -> Saga:
    """A saga whose second step may have run."""
    saga = started(plan, A)
    saga.wait(SECOND)
    saga.succeed(A, B)
    match how:
        case "timeout":
            saga.fail(B, FailureKind.UNKNOWN)
        case "crash":
            saga.take_over()
        case _:
            saga.tell(HandedBack(saga.moment))
            assert saga.kinds()[B] == "Unknown"
            saga.resume()
    return saga


@pytest.mark.parametrize("how", LOST)
def test_a_probe_asks_before_anything_else_is_done(how: str) -> None:
    saga = lost(PROBED, how)
    assert saga.of(B, Probing).attempts.doubt is Doubt.MAY_HAVE_RUN
    assert saga.status.value == "RUNNING"
    moved = saga.found(B)
    assert saga.status is SagaStatus.COMPLETED
    assert moved.actions == ()


def test_the_draw_takes_its_share_of_the_time_until_it_is_asked_again() -> None:
    jittered = RetrySchedule(attempts=2, base=Micros(1000), jitter=0.5)
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PROBE, probe_retry=jittered)), A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.tell(ProbeFailed(saga.moment, A, 1, jitter_draw=0.5))
    assert saga.of(A, Unknown).wake == 750


def test_what_is_to_be_asked_about_at_this_very_moment_is_due() -> None:
    saga = lost(PROBED)
    saga.ask(CompensationRequested(saga.moment))
    saga.fail_probe(B)
    saga.wait(SECOND)
    assert saga.tell(HandedBack(saga.moment)).writes == (Release(saga.moment),)


def test_a_probe_begins_when_what_was_aborted_has_stopped_for_certain() -> None:
    saga = started(PROBED, A)
    saga.succeed(A, B)
    saga.abort(until=SECOND)
    saga.ask(CompensationRequested(saga.moment))
    assert saga.of(B, Unknown).attempts.may_run_until == SECOND
    saga.wait(SECOND)
    saga.tick()
    assert saga.of(B, Probing).attempts.may_run_until == 0


def test_a_pivot_that_is_asked_about_again_later_decides_nothing_before() -> None:
    saga = lost(Plan.of(PIVOT.steps[0], replace(PIVOT.steps[1], probe_retry=THRICE)))
    saga.ask(CompensationRequested(saga.moment))
    saga.fail_probe(B)
    assert (saga.state.goal, saga.kinds()[B]) == (Goal.ROLLBACK, "Unknown")
    saga.wait(SECOND)
    saga.tick()
    saga.found(B)
    assert saga.status is SagaStatus.COMPLETED


def test_a_probe_is_asked_about_the_execution_in_question() -> None:
    saga = started(PROBED, A)
    saga.succeed(A, B)
    assert saga.fail(B, FailureKind.UNKNOWN).actions == (RunProbe(B, 1, 0),)


def test_what_has_not_run_is_repeated_by_the_policy_without_a_doubt() -> None:
    saga = lost(PROBED)
    saga.found(B, done=False)
    assert saga.of(B, Retrying).attempts.doubt is Doubt.NONE
    assert saga.of(B, Retrying).wake == 2 * SECOND
    for _ in range(2):
        saga.wait(SECOND)
        saga.resume(B)
        saga.fail(B, FailureKind.UNKNOWN)
        saga.found(B, done=False)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_what_was_cut_short_by_a_crash_and_has_not_run_is_repeated_at_once() -> None:
    saga = lost(PROBED, "crash")
    saga.found(B, B, done=False)
    assert saga.kinds()[B] == "Running"


def test_a_probe_that_fails_is_asked_again_and_at_last_a_person_is() -> None:
    saga = lost(PROBED)
    for asked in (1, 2):
        saga.fail_probe(B)
        assert saga.of(B, Unknown).failures == asked
        assert (saga.status, saga.row.waits) == (SagaStatus.SUSPENDED, WaitReason.RETRY)
        assert saga.row.due == saga.of(B, Unknown).wake
        saga.wait(SECOND)
        saga.resume()
        assert saga.of(B, Probing).attempts.probes == asked + 1
    saga.fail_probe(B)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    saga.ask(RetryRequested(saga.moment))
    assert saga.of(B, Probing).failures == 0


def test_whoever_wishes_it_tried_again_it_is_asked_first() -> None:
    saga = lost(PROBED)
    saga.fail_probe(B)
    saga.ask(RetryRequested(saga.moment))
    assert saga.of(B, Probing).failures == 0
    assert saga.refusal(RetryRequested(saga.moment)) is Refusal.NOTHING_TO_RETRY


@pytest.mark.parametrize(
    "kind, why", [(FailureKind.OUTPUT_LOST, "output_lost"), (FailureKind.UNREADABLE, "payload_unreadable")]
)
def test_an_answer_that_cannot_be_used_is_for_a_person(kind: FailureKind, why: str) -> None:
    saga = lost(PROBED)
    saga.fail_probe(B, kind)
    assert saga.of(B, Parked).why.value == why
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(A)
    left = "ran, output lost" if kind is FailureKind.OUTPUT_LOST else "may have run"
    assert saga.leftovers == {B: left}


def test_a_probe_has_a_budget_of_its_own() -> None:
    budget = RetrySchedule(attempts=9, base=Micros(SECOND), within=Micros(2 * SECOND))
    saga = lost(Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PROBE, probe_retry=budget)))
    saga.wait(SECOND)
    saga.fail_probe(B)
    saga.wait(SECOND)
    saga.resume()
    assert saga.of(B, Probing).first_attempt_at == SECOND
    saga.fail_probe(B)
    assert saga.kinds()[B] == "Parked"


def test_a_probe_that_is_lost_is_asked_again_and_its_answer_is_late() -> None:
    saga = lost(PROBED)
    saga.fail_probe(B)
    saga.wait(SECOND)
    saga.resume()
    saga.take_over()
    assert saga.of(B, Probing).attempts.probes == 3
    assert saga.of(B, Probing).failures == 1
    assert saga.refusal(ProbeAnswered(saga.moment, B, 2, done=True)) is Refusal.LATE


def test_a_rollback_finds_out_first() -> None:
    saga = lost(PROBED)
    saga.fail_probe(B)
    saga.ask(CompensationRequested(saga.moment))
    assert saga.kinds() == {A: "Succeeded", B: "Unknown"}
    assert saga.row.due == 2 * SECOND
    saga.wait(SECOND)
    saga.resume()
    saga.found(B)
    saga.undo(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_a_rollback_does_not_wait_for_ever() -> None:
    saga = lost(PROBED)
    saga.ask(CompensationRequested(saga.moment))
    for _ in range(3):
        saga.fail_probe(B)
        saga.wait(SECOND)
        saga.tick()
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}


def test_an_aborted_saga_can_still_be_rolled_back_by_what_is_found() -> None:
    saga = lost(Plan.of(step("a", undo=False), *PROBED.steps[1:]))
    saga.abort(until=5 * SECOND)
    assert saga.leftovers == {B: "may have run"}
    saga.ask(CompensationRequested(saga.moment))
    saga.found(B, done=False)
    assert saga.status is SagaStatus.COMPENSATED


def test_a_saga_that_is_parked_in_a_rollback_gives_up_asking() -> None:
    saga = lost(PROBED)
    saga.ask(CompensationRequested(saga.moment))
    saga.tell(SagaParked(saga.moment, ParkReason.CRASH_LOOP))
    assert saga.kinds() == {A: "UndoParked", B: "FailedForGood"}
    pivot = lost(PIVOT)
    pivot.tell(CompensationRequested(pivot.moment))
    pivot.tell(SagaParked(pivot.moment, ParkReason.CRASH_LOOP))
    assert pivot.state.goal is Goal.FORWARD
    assert pivot.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN


def test_a_pivot_that_is_found_out_decides_which_way_to_go() -> None:
    saga = lost(PIVOT)
    saga.ask(CompensationRequested(saga.moment))
    saga.found(B)
    assert saga.status is SagaStatus.COMPLETED
    saga = lost(PIVOT)
    saga.ask(CompensationRequested(saga.moment))
    saga.found(B, done=False)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED
    saga = lost(PIVOT)
    saga.ask(CompensationRequested(saga.moment))
    saga.fail_probe(B)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    assert saga.state.goal is Goal.FORWARD


@pytest.mark.parametrize("how", LOST)
def test_what_may_have_run_is_undone_without_an_output_and_never_repeated(how: str) -> None:
    saga = lost(UNDONE, how)
    undoing = saga.of(B, Undoing)
    assert (undoing.seq, undoing.attempts.attempt, undoing.attempts.digest) == (0, 1, Digest(b"input"))
    saga.undo(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_the_undo_in_doubt_has_no_entry_to_take_an_output_from() -> None:
    saga = started(UNDONE, A)
    saga.succeed(A, B)
    assert saga.fail(B, FailureKind.UNKNOWN).actions == (RunCompensation(B, 1, 0),)


def test_what_is_known_not_to_have_run_is_not_undone() -> None:
    for kind in (FailureKind.BUSINESS_ERROR, FailureKind.FATAL):
        saga = started(UNDONE, A)
        saga.succeed(A, B)
        saga.fail(B, kind)
        assert saga.kinds() == {A: "Undoing", B: "FailedForGood"}


def test_what_ran_and_lost_its_output_can_be_undone_without_it() -> None:
    saga = started(UNDONE, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.OUTPUT_LOST)
    saga.ask(CompensationRequested(saga.moment))
    assert saga.of(B, Undoing).seq == 0


def test_a_failed_undo_in_doubt_is_left_over_and_taken_up_again() -> None:
    saga = lost(UNDONE)
    saga.fail_undo(B)
    assert saga.leftovers == {A: "not undone", B: "undo failed"}
    saga.ask(CompensationRequested(saga.moment))
    assert saga.of(B, Undoing).seq == 0
    saga.undo(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_an_undo_in_doubt_waits_until_the_execution_is_certain_to_have_stopped() -> None:
    saga = started(UNDONE, A)
    saga.succeed(A, B)
    saga.abort(until=5 * SECOND)
    saga.ask(CompensationRequested(saga.moment))
    assert saga.kinds() == {A: "Succeeded", B: "Unknown"}
    assert saga.row.due == 5 * SECOND
    saga.wait(5 * SECOND)
    saga.resume()
    assert saga.of(B, Undoing).seq == 0


def test_a_saga_aborted_in_doubt_and_tried_again_turns_back() -> None:
    saga = started(UNDONE, A)
    saga.succeed(A, B)
    saga.abort()
    saga.ask(RetryRequested(saga.moment))
    assert saga.of(B, Undoing).seq == 0


@pytest.mark.parametrize("how", LOST)
def test_what_may_have_run_waits_for_a_person(how: str) -> None:
    saga = lost(PARKED, how)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    saga.tell(RetryRequested(saga.moment))
    saga.tick(B)
    saga.succeed(B)
    assert saga.status is SagaStatus.COMPLETED


REPEATED = Plan.of(step("a"), step("b", "a", unknown_retry=THRICE, undo_in_doubt=True))
BESIDE = Plan.of(step("a", on_unknown=OnUnknown.PARK), step("b"))


def test_what_may_have_run_is_repeated_by_a_budget_of_its_own() -> None:
    saga = lost(REPEATED)
    assert saga.of(B, Retrying).wake == 2 * SECOND
    assert saga.row.retry_counter == 1
    for _ in range(2):
        saga.wait(SECOND)
        saga.tick(B)
        saga.fail(B, FailureKind.UNKNOWN)
    assert saga.of(B, Undoing).seq == 0, "three attempts have left it open, and it can be undone without an output"
    saga.undo(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_what_may_have_run_and_cannot_be_undone_as_that_is_listed() -> None:
    saga = lost(Plan.of(step("a"), step("b", "a", unknown_retry=AT_ONCE)))
    for _ in range(2):
        saga.fail(B, FailureKind.UNKNOWN)
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}


def test_the_budget_for_what_may_have_run_is_over_in_time_too() -> None:
    within = RetrySchedule(attempts=99, base=Micros(SECOND), within=Micros(3 * SECOND))
    saga = started(Plan.of(step("a", unknown_retry=within)), A)
    saga.wait(50 * SECOND)  # however long the first attempt took: doubt has only begun
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.of(A, Retrying).attempts.doubted == 50 * SECOND
    saga.wait(2 * SECOND)
    saga.tick(A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.wait(SECOND)
    saga.tick(A)
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.leftovers == {A: "may have run"}


def test_in_doubt_an_error_is_repeated_by_either_budget() -> None:
    saga = started(
        Plan.of(step("a", retry=THRICE, unknown_retry=RetrySchedule(attempts=4, base=Micros(2 * SECOND)))), A
    )
    saga.fail(A, FailureKind.UNKNOWN)
    waits = [saga.of(A, Retrying).wake]
    for _ in range(3):
        saga.wait(saga.of(A, Retrying).wake - saga.now)
        saga.tick(A)
        began = saga.now
        saga.fail(A)
        waits.append(Moment(saga.of(A, Retrying).wake - began))
    assert waits == [2 * SECOND, SECOND, 2 * SECOND, 2 * SECOND], "its policy grants one more, then doubt's carries on"
    saga.wait(2 * SECOND)
    saga.tick(A)
    saga.fail(A)
    assert saga.leftovers == {A: "may have run"}


def test_a_crash_leaves_a_doubt_that_counts_for_nothing() -> None:
    saga = lost(REPEATED, "crash")
    saga.tick(B)
    saga.fail(B)
    assert saga.of(B, Retrying).attempts.doubts == 1
    saga.wait(SECOND)
    saga.take_over(B)
    saga.take_over(B)
    assert (saga.of(B, Running).attempts.failures, saga.of(B, Running).attempts.doubts) == (1, 1)
    saga.succeed(B)
    assert saga.status is SagaStatus.COMPLETED


def test_a_person_gives_a_fresh_budget_for_what_may_have_run() -> None:
    saga = lost(REPEATED)
    saga.tell(RetryRequested(saga.moment))
    attempts = saga.of(B, Retrying).attempts
    assert (attempts.doubts, attempts.doubted, attempts.doubt) == (0, 0, Doubt.MAY_HAVE_RUN)


def test_what_is_refused_in_doubt_is_undone_as_what_may_have_run() -> None:
    saga = lost(REPEATED)
    saga.wait(SECOND)
    saga.tick(B)
    saga.fail(B, FailureKind.BUSINESS_ERROR)
    assert saga.of(B, Undoing).seq == 0


def test_what_is_refused_without_a_doubt_leaves_nothing() -> None:
    saga = started(REPEATED, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.BUSINESS_ERROR)
    assert saga.kinds() == {A: "Undoing", B: "FailedForGood"}


@pytest.mark.parametrize("after, wake", [(0, None), (7, 7), (-5, None), (1 << 70, LONGEST_DELAY)])
def test_a_step_says_when_it_is_to_be_tried_again(after: int, wake: int | None) -> None:
    saga = started(Plan.of(step("a", retry=THRICE)), A)
    saga.fail(A, after=Micros(after))
    if wake is None:
        assert saga.of(A, Running).attempts.attempt == 2
    else:
        assert saga.of(A, Retrying).wake == wake
    assert saga.leftovers == {}


def test_asking_to_be_tried_again_later_counts() -> None:
    saga = started(Plan.of(step("a", retry=THRICE, unknown_retry=THRICE)), A)
    for _ in range(2):
        saga.fail(A, after=Micros(0))
    saga.fail(A, after=Micros(0))
    assert saga.status is SagaStatus.COMPENSATED


def test_asking_to_be_tried_again_later_is_kept_within_the_budget_in_time() -> None:
    saga = started(Plan.of(step("a", retry=RetrySchedule(attempts=3, within=Micros(SECOND)), unknown_retry=THRICE)), A)
    saga.fail(A, after=Micros(SECOND + 1))
    assert saga.status is SagaStatus.COMPENSATED


def test_what_has_no_policy_is_tried_again_later_by_the_budget_for_what_may_have_run() -> None:
    saga = started(Plan.of(step("a", unknown_retry=THRICE, own_retry=False)), A)
    for attempt in (2, 3):
        saga.fail(A, after=Micros(0))
        assert saga.of(A, Running).attempts.attempt == attempt
    saga.fail(A, after=Micros(0))
    assert saga.status is SagaStatus.COMPENSATED
    saga = started(saga.plan, A)
    saga.fail(A)
    assert saga.status is SagaStatus.COMPENSATED, "it did not ask for it"


def test_a_compensation_says_when_it_is_to_be_tried_again() -> None:
    saga = started(Plan.of(step("a", undo_retry=RetrySchedule(attempts=3, within=Micros(SECOND))), step("b", "a")), A)
    saga.succeed(A, B)
    saga.wait(SECOND)
    saga.fail(B)
    saga.fail_undo(A, after=Micros(7))
    assert saga.of(A, UndoRetrying).wake == saga.moment + 7
    assert saga.of(A, UndoRetrying).attempts.failures == 1
    saga.wait(7)
    saga.tick()
    saga.fail_undo(A, after=Micros(SECOND))  # later than the policy goes on
    assert saga.leftovers == {A: "undo failed"}


def test_a_probe_says_when_it_is_to_be_asked_again() -> None:
    saga = lost(PROBED)
    saga.fail_probe(B, after=Micros(7))
    assert (saga.of(B, Unknown).wake, saga.of(B, Unknown).failures) == (saga.moment + 7, 1)
    saga.wait(7)
    saga.tick()
    saga.fail_probe(B, after=Micros(0))
    saga.fail_probe(B, after=Micros(0))  # the third and last
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN


def test_what_may_have_run_says_when_it_is_to_be_repeated() -> None:
    saga = started(REPEATED, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN, after=Micros(7))
    assert saga.of(B, Retrying).wake == 7


def test_what_a_probe_cannot_find_out_is_undone_where_that_can_be() -> None:
    asked = step("b", "a", on_unknown=OnUnknown.PROBE, undo_in_doubt=True)
    saga = lost(Plan.of(step("a"), asked))
    saga.ask(CompensationRequested(saga.moment))
    assert saga.kinds()[B] == "Probing"
    saga.fail_probe(B)
    saga.undo(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def beside(plan: Plan = BESIDE) -> Saga:
    """A saga that turned back while what is left to a person ran beside, and ended in doubt."""
    saga = started(plan, A, B)
    saga.fail(B)
    saga.fail(A, FailureKind.UNKNOWN)
    return saga


def test_a_rollback_waits_for_the_person_to_find_out() -> None:
    saga = beside(Plan.of(*BESIDE.steps, step("c")))
    assert saga.of(A, Parked).why is ParkReason.OUTCOME_UNKNOWN
    assert (saga.status, saga.row.waits, saga.row.due) == (SagaStatus.SUSPENDED, WaitReason.PARKED, None)
    assert saga.refusal(RetryRequested(saga.moment)) is Refusal.NOTHING_TO_RETRY
    assert saga.refusal(StepSkipped(saga.moment, B)) is Refusal.NOT_WAITING
    assert saga.refusal(StepSkipped(saga.moment, C)) is Refusal.NOT_WAITING
    saga.resume()
    assert saga.kinds() == {A: "Parked", B: "FailedForGood"}


def test_that_person_turns_back_all_the_same() -> None:
    saga = beside()
    saga.ask(CompensationRequested(saga.moment))
    assert saga.leftovers == {A: "may have run"}
    saga = beside(Plan.of(step("a", on_unknown=OnUnknown.PARK, undo_in_doubt=True), step("b")))
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_that_person_cannot_pass_it_over() -> None:
    assert beside().refusal(StepSkipped(Moment(0), A)) is Refusal.NOT_WAITING


def test_nothing_is_undone_before_that_person_has_decided() -> None:
    saga = started(Plan.of(*BESIDE.steps, step("c")), A, B, C)
    saga.succeed(C)
    saga.fail(B)
    saga.tell(HandedBack(saga.moment))
    assert saga.row.due is not None
    saga.resume()
    assert saga.kinds() == {A: "Parked", B: "FailedForGood", C: "Succeeded"}
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(C)
    assert saga.leftovers == {A: "may have run"}


def test_that_person_is_asked_again_when_a_repeat_leaves_it_open() -> None:
    saga = lost(PARKED)
    saga.tell(RetryRequested(saga.moment))
    saga.tick(B)
    saga.fail(B, FailureKind.BUSINESS_ERROR)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN


def test_a_person_is_asked_about_what_waits_for_its_next_attempt_in_doubt() -> None:
    plan = Plan.of(step("a", retry=THRICE, on_unknown=OnUnknown.PARK), step("b"))
    saga = started(plan, A, B)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.tell(RetryRequested(saga.moment))
    saga.tick(A)
    saga.fail(A)
    assert saga.of(A, Retrying).attempts.doubt is Doubt.MAY_HAVE_RUN
    saga.fail(B)
    assert saga.of(A, Parked).why is ParkReason.OUTCOME_UNKNOWN


def test_what_is_cut_short_is_left_to_a_person_at_once() -> None:
    saga = started(Plan.of(*BESIDE.steps, cancel_siblings=True), A, B)
    saga.fail(B)
    assert saga.of(A, Parked).why is ParkReason.OUTCOME_UNKNOWN


def test_nobody_is_asked_where_nothing_is_undone() -> None:
    saga = beside(Plan.of(*BESIDE.steps, compensate_on_failure=False))
    assert saga.leftovers == {A: "may have run"}


def test_nobody_is_asked_by_a_plan_that_changed_once_something_is_undone() -> None:
    repeated = Plan.of(step("a"), step("b"), step("c"))
    saga = started(repeated, A, B, C)
    saga.succeed(C)
    saga.fail(B)
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.kinds() == {A: "FailedForGood", B: "FailedForGood", C: "Undoing"}
    saga = started(repeated, A, B, C)
    saga.succeed(C)
    saga.fail(B)
    saga.take_over()
    assert saga.kinds() == {A: "Unknown", B: "FailedForGood", C: "Undoing"}
    saga.plan = Plan.of(step("a", on_unknown=OnUnknown.PARK), step("b"), step("c"))
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    assert saga.kinds()[A] == "FailedForGood"
    saga.undo(C)
    assert saga.leftovers == {A: "may have run"}


def test_a_crash_loop_on_the_way_back_leaves_all_to_that_person() -> None:
    saga = started(Plan.of(*BESIDE.steps, step("c")), A, B, C)
    saga.succeed(C)
    saga.fail(B)
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    assert saga.kinds() == {A: "Parked", B: "FailedForGood", C: "Succeeded"}


def test_a_failed_saga_is_taken_up_again_by_a_person_who_is_not_asked_twice() -> None:
    saga = started(Plan.of(*BESIDE.steps, step("c")), A, B, C)
    saga.succeed(C)
    saga.abort(until=5 * SECOND)
    saga.ask(CompensationRequested(saga.moment))
    assert saga.kinds() == {A: "FailedForGood", B: "Unknown", C: "Succeeded"}
    saga.wait(5 * SECOND)
    saga.resume()
    saga.undo(C)
    assert saga.leftovers == {A: "may have run", B: "may have run"}


def test_siblings_are_settled_each_in_its_way() -> None:
    plan = Plan.of(
        step("a", on_unknown=OnUnknown.PROBE, probe_retry=AT_ONCE), step("b", on_unknown=OnUnknown.UNDO), step("c")
    )
    saga = started(plan, A, B, C)
    saga.take_over()
    assert saga.kinds() == {A: "Probing", B: "FailedForGood", C: "Unknown"}
    saga.fail_probe(A)
    saga.found(A)
    assert saga.kinds() == {A: "Undoing", B: "Undoing", C: "Unknown"}
    saga.undo(B)
    saga.undo(A)
    assert saga.leftovers == {C: "may have run"}
    assert saga.state.at == Moment(0)


def test_a_pivot_whose_doubt_is_left_to_a_person_is_not_passed_over_on_the_way_back() -> None:
    saga = started(Plan.of(step("a"), step("b", "a", undo=False, pivot=True, on_unknown=OnUnknown.PARK)), A)
    saga.succeed(A, B)
    saga.ask(CompensationRequested(saga.moment))
    saga.tell(HandedBack(saga.moment))
    assert saga.kinds()[B] == "Unknown"
    assert saga.refusal(StepSkipped(saga.moment, B)) is Refusal.NOT_WAITING
    saga.resume()
    assert (saga.state.goal, saga.of(B, Parked).why) == (Goal.FORWARD, ParkReason.OUTCOME_UNKNOWN)
