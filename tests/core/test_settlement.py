"""A person says what has become of a step: it was done, it was undone by hand, or it has never run."""

from __future__ import annotations

import pytest

from saga_fn.core.effects import Refusal, RunCompensation, RunStep
from saga_fn.core.events import (
    BoundEach,
    CompensationRequested,
    FailureKind,
    Finding,
    HandedBack,
    RetryRequested,
    RewindRequested,
    StepSettled,
    StepSkipped,
    Ticked,
)
from saga_fn.core.explore.offers import events_for, events_of
from saga_fn.core.ids import Digest, Moment, StepId
from saga_fn.core.inputs import digest_in_doubt, is_settled, output_at
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import (
    UNKNOWN_INPUT,
    Doubt,
    FailedForGood,
    Goal,
    Parked,
    ParkReason,
    Retrying,
    Settled,
    Skipped,
    Undoing,
    Undone,
)
from tests.core.given import SECOND, THRICE, A, B, C, Saga, bound, sequence, started, step

DONE, UNDONE, NEVER_RAN = Finding.DONE, Finding.UNDONE, Finding.NEVER_RAN
LEFT = Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PARK), step("c", "b"))
REPEATED = Plan.of(step("a"), step("b", "a"))
BARE = Plan.of(step("a"), step("b", "a", undo=False))
PROBED = Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PROBE, probe_retry=THRICE))


def in_doubt(plan: Plan = LEFT) -> Saga:
    """A saga whose second step has said that its outcome is unknown."""
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    return saga


def failed_in_doubt(plan: Plan = REPEATED) -> Saga:
    """A saga that has been rolled back and has FAILED: its second step may have run."""
    saga = in_doubt(plan)
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}
    return saga


def settle(saga: Saga, name: StepId, finding: Finding, *bound_steps: StepId) -> None:
    saga.tell(StepSettled(saga.moment, name, finding=finding, inputs=bound(*bound_steps)))


def test_what_was_done_goes_on_with_the_output_that_a_person_gives() -> None:
    saga = in_doubt()
    moved = saga.tell(StepSettled(saga.moment, B, finding=DONE, inputs=bound(C)))
    assert moved.actions == (RunStep(C, 1, 0),)
    assert saga.of(B, Settled) == Settled(B, 4, Digest(b"input"))
    assert output_at(saga.state, B) == 4
    saga.succeed(C)
    assert saga.status is SagaStatus.COMPLETED


def test_what_was_done_by_the_word_of_a_person_is_undone_with_its_input_and_output() -> None:
    saga = in_doubt()
    settle(saga, B, DONE, C)
    assert saga.fail(C).actions == (RunCompensation(B, 1, 4),)
    assert is_settled(saga.state, B)
    assert digest_in_doubt(saga.plan, saga.state, B) == (Digest(b"input"), False)
    saga.undo(B)
    assert not is_settled(saga.state, A), "that one has run here, and its entry has both"
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_in_a_rollback_what_was_done_is_undone() -> None:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PARK), step("b")), A, B)
    saga.fail(B)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.ask(StepSettled(saga.moment, A, finding=DONE))
    assert saga.of(A, Undoing).seq == 4
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


@pytest.mark.parametrize("finding", [UNDONE, NEVER_RAN])
def test_in_a_rollback_what_is_not_in_the_world_is_not_undone(finding: Finding) -> None:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PARK), step("b"), step("c")), A, B, C)
    saga.succeed(C)
    saga.fail(B)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.ask(StepSettled(saga.moment, A, finding=finding))
    assert saga.kinds() == {A: "FailedForGood", B: "FailedForGood", C: "Undoing"}
    saga.undo(C)
    assert saga.status is SagaStatus.COMPENSATED


@pytest.mark.parametrize("finding", [UNDONE, NEVER_RAN])
def test_going_forward_a_person_still_says_how_to_go_on(finding: Finding) -> None:
    saga = in_doubt()
    settle(saga, B, finding)
    settled = saga.of(B, Parked)
    assert (settled.why, settled.attempts.doubt) == (ParkReason.SETTLED, Doubt.NONE)
    saga.tell(RetryRequested(saga.moment, B))
    (again,) = saga.tick(B).actions
    # A step undone by hand is done anew under another key: the participant takes the old one for done.
    assert again == RunStep(B, 2, 1 if finding is UNDONE else 0)
    saga = in_doubt()
    settle(saga, B, finding)
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_what_waits_for_its_next_attempt_keeps_its_moment_without_the_doubt() -> None:
    saga = in_doubt(Plan.of(step("a"), step("b", "a", unknown_retry=THRICE)))
    wake = saga.of(B, Retrying).wake
    settle(saga, B, NEVER_RAN)
    assert (saga.of(B, Retrying).wake, saga.of(B, Retrying).attempts.doubt) == (wake, Doubt.NONE)


def test_a_person_answers_in_the_stead_of_a_probe() -> None:
    saga = in_doubt(PROBED)
    saga.fail_probe(B)
    settle(saga, B, NEVER_RAN)
    assert saga.state.goal is Goal.ROLLBACK, "its one attempt has failed"
    assert saga.of(B, FailedForGood).attempts.doubt is Doubt.NONE
    saga = in_doubt(PROBED)
    saga.fail_probe(B)
    settle(saga, B, DONE)
    assert saga.status is SagaStatus.COMPLETED


def test_what_runs_or_was_never_in_doubt_is_not_settled() -> None:
    saga = started(REPEATED, A)
    for finding in Finding:
        assert saga.refusal(StepSettled(Moment(0), A, finding=finding)) is Refusal.NOTHING_TO_SETTLE
        assert saga.refusal(StepSettled(Moment(0), B, finding=finding)) is Refusal.NOTHING_TO_SETTLE
    saga.succeed(A, B)
    for finding in Finding:
        assert saga.refusal(StepSettled(Moment(0), A, finding=finding)) is Refusal.NOTHING_TO_SETTLE
    assert saga.refusal(StepSettled(Moment(0), C)) is Refusal.UNKNOWN_STEP
    saga.tell(HandedBack(Moment(0)))
    saga = in_doubt(PROBED)
    assert saga.refusal(StepSettled(Moment(0), B, finding=DONE)) is Refusal.NOTHING_TO_SETTLE, "its probe runs"


def test_what_ran_and_lost_its_output_has_run() -> None:
    saga = started(LEFT, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.OUTPUT_LOST)
    assert saga.refusal(StepSettled(Moment(0), B, finding=NEVER_RAN)) is Refusal.NOTHING_TO_SETTLE
    settle(saga, B, UNDONE)
    assert saga.of(B, Parked).why is ParkReason.SETTLED
    saga = started(LEFT, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.OUTPUT_LOST)
    settle(saga, B, DONE, C)
    assert saga.kinds()[C] == "Running"


def test_a_step_parked_for_another_reason_waits_for_that_still() -> None:
    saga = in_doubt(Plan.of(step("a"), step("b", "a", unknown_retry=THRICE)))
    saga.wait(SECOND)
    saga.tell(Ticked(saga.moment, bound(B, digest=b"other")))
    assert saga.of(B, Parked).why is ParkReason.INPUT_CHANGED
    settle(saga, B, NEVER_RAN)
    assert saga.of(B, Parked).why is ParkReason.INPUT_CHANGED


@pytest.mark.parametrize("finding", [UNDONE, NEVER_RAN])
def test_a_failed_saga_of_which_nothing_is_left_is_compensated(finding: Finding) -> None:
    saga = failed_in_doubt()
    settle(saga, B, finding)
    assert (saga.status, saga.leftovers) == (SagaStatus.COMPENSATED, {})


def test_a_failed_saga_whose_step_was_done_says_so_and_undoes_it_when_it_is_asked() -> None:
    saga = failed_in_doubt()
    settle(saga, B, DONE)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {B: "not undone"})
    saga.ask(CompensationRequested(saga.moment))
    assert saga.of(B, Undoing).seq == 5
    saga.undo(B)
    assert saga.status is SagaStatus.COMPENSATED


def test_what_was_done_and_has_no_compensation_is_not_left_over() -> None:
    saga = failed_in_doubt(BARE)
    settle(saga, B, DONE)
    assert saga.status is SagaStatus.COMPENSATED


def test_settling_starts_no_rollback_that_has_not_begun() -> None:
    saga = started(REPEATED, A)
    saga.succeed(A, B)
    saga.abort()
    settle(saga, B, NEVER_RAN)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {A: "not undone"})
    for finding in (DONE, NEVER_RAN):
        assert saga.refusal(StepSettled(saga.moment, A, finding=finding)) is Refusal.NOTHING_TO_SETTLE, "it was done"


def test_what_may_still_run_is_settled_once_it_has_stopped() -> None:
    saga = started(REPEATED, A)
    saga.succeed(A, B)
    saga.abort(until=SECOND)
    for finding in Finding:
        assert saga.refusal(StepSettled(Moment(0), B, finding=finding)) is Refusal.MAY_STILL_RUN
    saga.tell(StepSettled(Moment(0), B, stopped=(B,), finding=NEVER_RAN))
    assert saga.leftovers == {A: "not undone"}


def test_an_undo_in_doubt_is_over_when_the_step_has_never_run() -> None:
    saga = in_doubt(Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.UNDO)))
    saga.fail_undo(B)
    assert saga.refusal(StepSettled(Moment(0), B, finding=DONE)) is Refusal.NOTHING_TO_SETTLE
    saga.ask(StepSettled(Moment(0), B, finding=NEVER_RAN))
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


def test_an_undo_of_what_has_run_is_not_over_because_somebody_says_it_never_ran() -> None:
    saga = started(REPEATED, A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.fail_undo(A)
    assert saga.refusal(StepSettled(Moment(0), A, finding=NEVER_RAN)) is Refusal.NOTHING_TO_SETTLE


def test_what_is_passed_over_in_doubt_is_named_at_the_end_until_it_is_settled() -> None:
    saga = in_doubt()
    saga.tell(StepSkipped(saga.moment, B, bound(C)))
    assert saga.of(B, Skipped) == Skipped(B, 4, Doubt.MAY_HAVE_RUN)
    saga.fail(C)
    saga.undo(A)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {B: "may have run"})
    assert saga.refusal(StepSettled(saga.moment, B, finding=DONE)) is Refusal.NOTHING_TO_SETTLE
    settle(saga, B, UNDONE)
    assert saga.status is SagaStatus.COMPENSATED


def test_what_is_passed_over_and_was_never_in_doubt_is_not_named() -> None:
    saga = started(LEFT, A)
    saga.succeed(A)
    saga.tell(StepSkipped(saga.moment, B, bound(C), not_begun=True))
    assert saga.refusal(StepSettled(saga.moment, B)) is Refusal.NOTHING_TO_SETTLE
    saga.fail(C)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED


PIVOT = Plan.of(step("a"), step("b", "a", undo=False, pivot=True), step("c", "b", undo=False))


def test_a_pivot_that_was_done_is_the_point_of_no_return() -> None:
    saga = in_doubt(PIVOT)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    settle(saga, B, DONE, C)
    saga.succeed(C)
    assert saga.status is SagaStatus.COMPLETED


def test_a_pivot_that_was_given_up_is_not_done_after_something_was_undone() -> None:
    saga = in_doubt(PIVOT)
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}
    assert saga.refusal(StepSettled(saga.moment, B, finding=DONE)) is Refusal.COMPENSATION_BEGUN
    settle(saga, B, NEVER_RAN)
    assert saga.status is SagaStatus.COMPENSATED


def test_an_aborted_saga_that_is_found_past_its_pivot_stays_failed() -> None:
    saga = started(PIVOT, A)
    saga.succeed(A, B)
    saga.abort()
    settle(saga, B, DONE)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {A: "not undone"})
    saga.tell(RetryRequested(saga.moment, C))
    saga.resume(C)
    saga.succeed(C)
    assert saga.status is SagaStatus.COMPLETED


def aborted_past_its_pivot() -> Saga:
    saga = started(PIVOT, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.abort()
    settle(saga, C, NEVER_RAN)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {A: "not undone"})
    return saga


def test_what_an_end_past_the_pivot_has_left_is_undone_by_hand_and_the_saga_stays_failed() -> None:
    saga = aborted_past_its_pivot()
    settle(saga, A, UNDONE)
    assert saga.of(A, Undone) == Undone(A, 2)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {})
    assert saga.refusal(StepSettled(saga.moment, A)) is Refusal.NOTHING_TO_SETTLE
    assert saga.refusal(CompensationRequested(saga.moment)) is Refusal.PAST_PIVOT


def test_a_saga_of_which_a_person_has_undone_a_step_goes_forward_no_more() -> None:
    saga = aborted_past_its_pivot()
    settle(saga, A, UNDONE)
    assert saga.refusal(RetryRequested(saga.moment, C)) is Refusal.COMPENSATION_BEGUN
    assert saga.refusal(RewindRequested(saga.moment, C)) is Refusal.COMPENSATION_BEGUN
    assert saga.refusal(RewindRequested(saga.moment, A, forget=(A, B))) is Refusal.PAST_PIVOT


def test_what_an_end_before_the_pivot_has_left_is_undone_by_hand_step_by_step() -> None:
    saga = started(Plan.of(step("a"), step("b", "a"), step("c", "b")), A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.abort()
    settle(saga, C, NEVER_RAN)
    settle(saga, A, UNDONE)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {B: "not undone"})
    saga.ask(CompensationRequested(saga.moment))
    assert saga.kinds() == {A: "Undone", B: "Undoing", C: "FailedForGood"}
    saga.undo(B)
    assert saga.status is SagaStatus.COMPENSATED


def test_an_end_of_which_a_person_has_undone_all_is_a_clean_one() -> None:
    saga = started(Plan.of(step("a"), step("b", "a", undo=False), compensate_on_failure=False), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert saga.leftovers == {A: "not undone"}
    settle(saga, A, UNDONE)
    assert saga.status is SagaStatus.COMPENSATED


def test_nothing_is_undone_by_hand_beside_a_pivot_in_doubt() -> None:
    saga = started(PIVOT, A)
    saga.succeed(A, B)
    saga.abort()
    rejection = saga.rejection(StepSettled(saga.moment, A, finding=UNDONE))
    assert (rejection.refusal, rejection.step) == (Refusal.IN_DOUBT, B)
    settle(saga, B, DONE)
    settle(saga, A, UNDONE)
    assert (saga.status, saga.leftovers) == (SagaStatus.FAILED, {})


def test_what_was_done_by_the_word_of_a_person_is_undone_by_the_word_of_a_person() -> None:
    saga = failed_in_doubt()
    settle(saga, B, DONE)
    settle(saga, B, UNDONE)
    assert saga.status is SagaStatus.COMPENSATED


def test_what_has_no_compensation_is_not_undone_by_hand() -> None:
    saga = aborted_past_its_pivot()
    assert saga.refusal(StepSettled(saga.moment, B)) is Refusal.NOTHING_TO_SETTLE


def test_an_item_that_was_done_is_joined_and_told_by_its_list() -> None:
    first = StepId("a[0]")
    saga = started(Plan.of(step("a", concurrency=1, on_unknown=OnUnknown.PARK), step("b", "a")))
    saga.tell(Ticked(Moment(0), (BoundEach(A, 1, Digest(b"list")), *bound(first, digest=b"list"))))
    saga.fail(first, FailureKind.UNKNOWN)
    settle(saga, first, DONE, B)
    assert saga.kinds() == {A: "Joined", first: "Settled", B: "Running"}
    saga.fail(B)
    assert digest_in_doubt(saga.plan, saga.state, first)[1], "not the fingerprint of its own input"


def test_an_item_that_was_settled_is_undone_with_what_its_list_gave_it() -> None:
    plan = Plan.of(step("a", concurrency=1, on_unknown=OnUnknown.PARK), step("b", "a"))
    item, whole = StepId("a[0]"), Digest(b"of all")
    saga = started(plan)
    saga.tell(Ticked(saga.moment, (BoundEach(A, 1, whole), *bound(item, digest=whole))))
    saga.fail(item, FailureKind.UNKNOWN)
    settle(saga, item, DONE, B)
    assert saga.of(item, Settled).digest == whole
    saga.fail(B)
    assert is_settled(saga.state, item)
    assert digest_in_doubt(plan, saga.state, item) == (whole, True)


def test_a_settled_step_whose_input_is_not_known_any_more_has_a_fingerprint_that_no_input_has() -> None:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PARK), step("b", "a", on_unknown=OnUnknown.PARK)), A)
    saga.fail(A, FailureKind.UNKNOWN)
    saga.tell(RetryRequested(saga.moment, A))
    saga.tell(Ticked(saga.moment, bound(A, digest=Digest(b"other"))))
    assert saga.of(A, Parked).why is ParkReason.INPUT_CHANGED
    saga.tell(RetryRequested(saga.moment, A))  # the other input is accepted
    settle(saga, A, DONE, B)
    assert saga.of(A, Settled).digest == UNKNOWN_INPUT
    saga.fail(B)
    assert is_settled(saga.state, A)


@pytest.mark.parametrize("names, tried", [("abc", {A, B, C}), ("abcd", {C, "d"})])
def test_orders_of_what_was_undone_by_hand_are_tried_in_small_plans_alone(names: str, tried: set[str]) -> None:
    plan = sequence(names)
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.abort()
    offered = events_for({plan.id: plan}, {plan.id: events_of(plan)}, saga.state)
    assert {event.step for _, _, event in offered if isinstance(event, StepSettled)} == tried
