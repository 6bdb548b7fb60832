"""Steps that may have run: repeated, found out, undone as what may have run, or left to a person."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core.effects import Refusal, Release, RunCompensation, RunProbe
from saga_fn.core.events import (
    CompensationRequested,
    FailureKind,
    HandedBack,
    ProbeAnswered,
    ProbeFailed,
    RetryRequested,
    SagaParked,
)
from saga_fn.core.ids import Digest, Moment
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import Doubt, Goal, Parked, ParkReason, Probing, Retrying, Undoing, Unknown
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
    assert saga.of(B, Probing).tries.doubt is Doubt.MAY_HAVE_RUN
    assert saga.status.value == "RUNNING"
    moved = saga.found(B)
    assert saga.status is SagaStatus.COMPLETED
    assert moved.actions == ()


def test_the_draw_takes_its_share_of_the_time_until_it_is_asked_again() -> None:
    jittered = RetrySchedule(attempts=2, base=1000, jitter=0.5)
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PROBE, probe_retry=jittered)), A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.tell(ProbeFailed(saga.moment, A, 1, draw=0.5))
    assert saga.of(A, Unknown).wake == 750


def test_what_is_to_be_asked_about_at_this_very_moment_is_due() -> None:
    saga = lost(PROBED)
    saga.tell(CompensationRequested(saga.moment))
    saga.fail_probe(B)
    saga.wait(SECOND)
    assert saga.tell(HandedBack(saga.moment)).writes == (Release(saga.moment),)


def test_a_probe_begins_when_what_was_aborted_has_stopped_for_certain() -> None:
    saga = started(PROBED, A)
    saga.succeed(A, B)
    saga.abort(until=SECOND)
    saga.tell(CompensationRequested(saga.moment))
    assert saga.of(B, Unknown).tries.until == SECOND
    saga.wait(SECOND)
    saga.tick()
    assert saga.of(B, Probing).tries.until == 0


def test_a_pivot_that_is_asked_about_again_later_decides_nothing_before() -> None:
    saga = lost(Plan.of(PIVOT.steps[0], replace(PIVOT.steps[1], probe_retry=THRICE)))
    saga.tell(CompensationRequested(saga.moment))
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
    assert saga.of(B, Retrying).tries.doubt is Doubt.NONE
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
        assert saga.of(B, Probing).tries.probes == asked + 1
    saga.fail_probe(B)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    saga.tell(RetryRequested(saga.moment))
    assert saga.of(B, Probing).failures == 0


def test_whoever_wishes_it_tried_again_it_is_asked_first() -> None:
    saga = lost(PROBED)
    saga.fail_probe(B)
    saga.tell(RetryRequested(saga.moment))
    assert saga.of(B, Probing).failures == 0
    assert saga.refusal(RetryRequested(saga.moment)) is Refusal.NOTHING_TO_RETRY


@pytest.mark.parametrize(
    "kind, why", [(FailureKind.OUTPUT_LOST, "output_lost"), (FailureKind.UNREADABLE, "payload_unreadable")]
)
def test_an_answer_that_cannot_be_used_is_for_a_person(kind: FailureKind, why: str) -> None:
    saga = lost(PROBED)
    saga.fail_probe(B, kind)
    assert saga.of(B, Parked).why.value == why
    saga.tell(CompensationRequested(saga.moment))
    saga.undo(A)
    left = "ran, output lost" if kind is FailureKind.OUTPUT_LOST else "may have run"
    assert saga.leftovers == {B: left}


def test_a_probe_has_a_budget_of_its_own() -> None:
    budget = RetrySchedule(attempts=9, base=SECOND, within=2 * SECOND)
    saga = lost(Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PROBE, probe_retry=budget)))
    saga.wait(SECOND)
    saga.fail_probe(B)
    saga.wait(SECOND)
    saga.resume()
    assert saga.of(B, Probing).since == SECOND
    saga.fail_probe(B)
    assert saga.kinds()[B] == "Parked"


def test_a_probe_that_is_lost_is_asked_again_and_its_answer_is_late() -> None:
    saga = lost(PROBED)
    saga.fail_probe(B)
    saga.wait(SECOND)
    saga.resume()
    saga.take_over()
    assert saga.of(B, Probing).tries.probes == 3
    assert saga.of(B, Probing).failures == 1
    assert saga.refusal(ProbeAnswered(saga.moment, B, 2, done=True)) is Refusal.LATE


def test_a_rollback_finds_out_first() -> None:
    saga = lost(PROBED)
    saga.fail_probe(B)
    saga.tell(CompensationRequested(saga.moment))
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
    saga.tell(CompensationRequested(saga.moment))
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
    saga.tell(CompensationRequested(saga.moment))
    saga.found(B, done=False)
    assert saga.status is SagaStatus.COMPENSATED


def test_a_saga_that_is_parked_in_a_rollback_gives_up_asking() -> None:
    saga = lost(PROBED)
    saga.tell(CompensationRequested(saga.moment))
    saga.tell(SagaParked(saga.moment, ParkReason.CRASH_LOOP))
    assert saga.kinds() == {A: "UndoParked", B: "Exhausted"}
    pivot = lost(PIVOT)
    pivot.tell(CompensationRequested(pivot.moment))
    pivot.tell(SagaParked(pivot.moment, ParkReason.CRASH_LOOP))
    assert pivot.state.goal is Goal.FORWARD
    assert pivot.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN


def test_a_pivot_that_is_found_out_decides_which_way_to_go() -> None:
    saga = lost(PIVOT)
    saga.tell(CompensationRequested(saga.moment))
    saga.found(B)
    assert saga.status is SagaStatus.COMPLETED
    saga = lost(PIVOT)
    saga.tell(CompensationRequested(saga.moment))
    saga.found(B, done=False)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED
    saga = lost(PIVOT)
    saga.tell(CompensationRequested(saga.moment))
    saga.fail_probe(B)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    assert saga.state.goal is Goal.FORWARD


@pytest.mark.parametrize("how", LOST)
def test_what_may_have_run_is_undone_without_an_output_and_never_repeated(how: str) -> None:
    saga = lost(UNDONE, how)
    undoing = saga.of(B, Undoing)
    assert (undoing.seq, undoing.tries.attempt, undoing.tries.digest) == (0, 1, Digest(b"input"))
    saga.undo(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_the_undo_in_doubt_has_no_entry_to_take_an_output_from() -> None:
    saga = started(UNDONE, A)
    saga.succeed(A, B)
    assert saga.fail(B, FailureKind.UNKNOWN).actions == (RunCompensation(B, 1, 0),)


def test_what_is_known_not_to_have_run_is_not_undone() -> None:
    for kind in (FailureKind.REFUSED, FailureKind.FATAL):
        saga = started(UNDONE, A)
        saga.succeed(A, B)
        saga.fail(B, kind)
        assert saga.kinds() == {A: "Undoing", B: "Exhausted"}


def test_what_ran_and_lost_its_output_can_be_undone_without_it() -> None:
    saga = started(UNDONE, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.OUTPUT_LOST)
    saga.tell(CompensationRequested(saga.moment))
    assert saga.of(B, Undoing).seq == 0


def test_a_failed_undo_in_doubt_is_left_over_and_taken_up_again() -> None:
    saga = lost(UNDONE)
    saga.fail_undo(B)
    assert saga.leftovers == {A: "not undone", B: "undo failed"}
    saga.tell(CompensationRequested(saga.moment))
    assert saga.of(B, Undoing).seq == 0
    saga.undo(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_an_undo_in_doubt_waits_until_the_execution_is_certain_to_have_stopped() -> None:
    saga = started(UNDONE, A)
    saga.succeed(A, B)
    saga.abort(until=5 * SECOND)
    saga.tell(CompensationRequested(saga.moment))
    assert saga.kinds() == {A: "Succeeded", B: "Unknown"}
    assert saga.row.due == 5 * SECOND
    saga.wait(5 * SECOND)
    saga.resume()
    assert saga.of(B, Undoing).seq == 0


def test_a_saga_aborted_in_doubt_and_tried_again_turns_back() -> None:
    saga = started(UNDONE, A)
    saga.succeed(A, B)
    saga.abort()
    saga.tell(RetryRequested(saga.moment))
    assert saga.of(B, Undoing).seq == 0


@pytest.mark.parametrize("how", LOST)
def test_what_may_have_run_waits_for_a_person(how: str) -> None:
    saga = lost(PARKED, how)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    saga.tell(RetryRequested(saga.moment))
    saga.tick(B)
    saga.succeed(B)
    assert saga.status is SagaStatus.COMPLETED


def test_a_rollback_does_not_wait_for_that_person() -> None:
    plan = Plan.of(step("a", on_unknown=OnUnknown.PARK), step("b"))
    saga = started(plan, A, B)
    saga.fail(B)
    saga.fail(A, FailureKind.UNKNOWN)
    assert saga.leftovers == {A: "may have run"}


def test_siblings_are_settled_each_in_its_way() -> None:
    plan = Plan.of(
        step("a", on_unknown=OnUnknown.PROBE, probe_retry=AT_ONCE), step("b", on_unknown=OnUnknown.UNDO), step("c")
    )
    saga = started(plan, A, B, C)
    saga.take_over()
    assert saga.kinds() == {A: "Probing", B: "Exhausted", C: "Unknown"}
    saga.fail_probe(A)
    saga.found(A)
    assert saga.kinds() == {A: "Undoing", B: "Undoing", C: "Unknown"}
    saga.undo(B)
    saga.undo(A)
    assert saga.leftovers == {C: "may have run"}
    assert saga.state.at == Moment(0)
