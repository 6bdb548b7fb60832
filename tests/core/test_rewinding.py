"""An operator takes a saga back to a step: it and all that follow it run again, under other keys, and nothing is forgotten unsaid."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core.effects import Refusal, RunProbe, RunStep
from saga_fn.core.events import (
    Binding,
    BoundEach,
    CompensationRequested,
    Declined,
    FailureKind,
    Finding,
    PlanChanged,
    RetryRequested,
    RewindRequested,
    SagaParked,
    StepSettled,
    StepSkipped,
    Ticked,
    Unbindable,
)
from saga_fn.core.ids import Digest, Micros, StepId
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus
from saga_fn.core.rewinding import Rewinding, begun_before, rewinding, rewound_at
from saga_fn.core.state import (
    FailedForGood,
    FannedOut,
    Goal,
    Parked,
    ParkReason,
    Retrying,
    Rewound,
    Running,
    Skipped,
    Sleeping,
    Succeeded,
    UndoParked,
    Waiting,
)
from saga_fn.core.step_report import StepStatus, report_of
from tests.core.given import (
    AT_ONCE,
    DIAMOND,
    PIVOTED,
    SECOND,
    THREE,
    THRICE,
    A,
    B,
    C,
    D,
    Saga,
    bound,
    sequence,
    sleep,
    started,
    step,
    wait,
)

A0, A1 = StepId("a[0]"), StepId("a[1]")


def rewind(saga: Saga, to: StepId, *forget: StepId) -> None:
    saga.tell(RewindRequested(saga.moment, to, forget))


def refusal(saga: Saga, to: StepId, *forget: StepId) -> tuple[Refusal, StepId | None]:
    rejection = saga.rejection(RewindRequested(saga.moment, to, forget))
    return rejection.refusal, rejection.step


def parked_at_c(plan: Plan = THREE) -> Saga:
    """A saga whose first two steps are done, and whose third one is parked."""
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.succeed(B)
    saga.tell(Ticked(saga.moment, (Unbindable(C),)))
    return saga


def failed(plan: Plan) -> Saga:
    """A saga that has FAILED at its third step, undoing nothing."""
    saga = parked_at_c(plan)
    saga.abort()
    return saga


def test_a_parked_saga_runs_its_later_steps_again_under_keys_that_none_before_had() -> None:
    saga = parked_at_c()
    assert rewinding(saga.plan, saga.state, B, saga.moment) == Rewinding((B, C), (B,))
    rewind(saga, B, B)
    rev = saga.state.rev
    assert saga.kinds() == {A: "Succeeded", B: "Rewound", C: "Rewound"}
    assert [each.status for each in report_of(saga.plan, saga.state)][1:] == [StepStatus.PENDING] * 2
    assert saga.tick(B).actions == (RunStep(B, rev + 1, rev),)
    assert saga.succeed(B, C).actions == (RunStep(C, rev + 1, rev),)
    saga.succeed(C)
    assert saga.status is SagaStatus.COMPLETED


def test_what_has_run_or_may_have_and_is_not_undone_is_named_or_not_forgotten() -> None:
    saga = parked_at_c()
    rejection = saga.rejection(RewindRequested(saga.moment, A, (B,)))
    assert (rejection.refusal, rejection.unnamed) == (Refusal.UNNAMED, (A,))
    assert rejection.answer == 'unnamed: ["a"]'
    assert saga.rejection(RewindRequested(saga.moment, A)).answer == 'unnamed: ["a","b"]'
    assert saga.rejection(RewindRequested(saga.moment, D)).answer == "unknown_step"
    rewind(saga, A, A, B, C)


def test_what_has_a_compensation_or_none_is_named_alike() -> None:
    assert refusal(parked_at_c(sequence("abc", undo="")), B) == (Refusal.UNNAMED, B)


def test_a_failed_saga_goes_forward_again() -> None:
    saga = failed(THREE)
    rewind(saga, C)
    assert saga.state.goal is Goal.FORWARD
    saga.tick(C)
    saga.succeed(C)
    assert saga.status is SagaStatus.COMPLETED


def test_a_saga_that_goes_back_knows_nothing_more_of_what_was_forgotten() -> None:
    saga = parked_at_c()
    rewind(saga, B, B)
    saga.tick(B)
    saga.fail(B)
    saga.undo(A)
    assert saga.status is SagaStatus.COMPENSATED, "the first time of b is known to the journal alone"
    assert begun_before(saga.plan, saga.state) == (B, C), "but not that it is known there"


def test_a_step_that_was_undone_and_has_gone_back_is_told_apart_from_its_run_before() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    saga.undo(B)
    saga.fail_undo(A)
    assert [rewound_at(saga.plan, saga.state, each) for each in (A, B, C)] == [0, 0, 0]
    rewind(saga, A, A)
    first = saga.state.rev
    saga.tick(A)
    saga.succeed(A)
    assert [rewound_at(saga.plan, saga.state, each) for each in (A, B, C)] == [first] * 3
    saga.tell(Ticked(saga.moment, (Unbindable(B),)))
    rewind(saga, B)
    second = saga.state.rev
    assert [rewound_at(saga.plan, saga.state, each) for each in (A, B, C)] == [first, second, first]
    assert saga.tick(B).actions == (RunStep(B, second + 1, second),)
    saga.succeed(B, C)
    assert saga.state.rewound == (Rewound(A, first), Rewound(C, first), Rewound(B, second))


def test_the_items_of_a_fan_out_go_back_with_it() -> None:
    plan = Plan.of(step("a", concurrency=2), step("b", "a"))
    saga = started(plan)
    saga.tell(Ticked(saga.moment, (BoundEach(A, 1, Digest(b"1")),)))
    saga.tell(Ticked(saga.moment, (Unbindable(A0),)))
    rewind(saga, A)
    assert rewound_at(plan, saga.state, A0) == saga.state.rev


def test_what_could_not_be_undone_is_named() -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    saga.fail_undo(B)
    assert saga.leftovers == {A: "not undone", B: "undo failed"}
    assert refusal(saga, A, A) == (Refusal.UNNAMED, A)
    rewind(saga, A, A, B)
    saga.tick(A)
    for done, then in ((A, B), (B, C)):
        saga.succeed(done, then)
    saga.succeed(C)
    assert saga.status is SagaStatus.COMPLETED


def test_what_was_undone_is_done_again_unless_it_would_stand_beside() -> None:
    saga = started(Plan.of(step("a"), step("b"), step("c", "a", "b")), A, B)
    saga.succeed(A)
    saga.succeed(B, C)
    saga.fail(C)
    saga.undo(A)
    saga.fail_undo(B)
    assert refusal(saga, B, B) == (Refusal.COMPENSATION_BEGUN, A)
    assert refusal(saga, C) == (Refusal.COMPENSATION_BEGUN, A)
    plan = Plan.of(step("a", undo=False), step("b", "a"), step("c", "b", on_unknown=OnUnknown.PARK), step("d", "c"))
    saga = started(plan, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C, FailureKind.UNKNOWN)
    saga.ask(CompensationRequested(saga.moment))
    saga.undo(B)
    assert (saga.kinds()[B], saga.leftovers) == ("Undone", {C: "may have run"})
    rewind(saga, B, C)
    assert saga.kinds() == {A: "Succeeded", B: "Rewound", C: "Rewound"}
    saga.tick(B)


def test_a_rollback_that_waits_for_a_person_can_be_taken_back() -> None:
    saga = started(Plan.of(step("a"), step("b", "a", undo_parks=True), step("c", "b")), A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    saga.fail_undo(B)
    saga.of(B, UndoParked)
    rewind(saga, B, B)
    assert saga.tick(B).actions[0] == RunStep(B, saga.state.rev, saga.state.rev - 1)


def test_nothing_that_runs_or_may_run_on_is_taken_back() -> None:
    saga = started(THREE, A)
    assert refusal(saga, A, A) == (Refusal.BEING_RUN, A)
    saga.abort(until=SECOND)
    assert refusal(saga, A, A) == (Refusal.MAY_STILL_RUN, A)
    saga.tell(RewindRequested(saga.moment, A, (A,), None, (A,)))
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    assert refusal(saga, A, A) == (Refusal.BEING_RUN, A), "its compensation runs"


def test_what_runs_beside_goes_on() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE), step("c", "a", "b")), A, B)
    saga.fail(B)
    rewind(saga, B)
    assert saga.tick(B).actions == (RunStep(B, saga.state.rev, saga.state.rev - 1),)
    assert saga.of(A, Running).attempts.attempt == 1


def test_what_was_given_up_beside_it_is_attempted_again() -> None:
    saga = started(Plan.of(step("a"), step("b", retry=THRICE), step("c"), compensate_on_failure=False), A, B, C)
    saga.fail(B)
    saga.succeed(C)
    saga.fail(A)
    assert saga.status is SagaStatus.FAILED
    rewind(saga, C, C)
    assert saga.kinds() == {A: "Retrying", B: "Retrying", C: "Rewound"}
    assert saga.tick(A, B).actions[0] == RunStep(A, 2, 0), "under its own key"


def test_a_doubt_beside_it_is_settled_as_declared() -> None:
    plan = Plan.of(step("a"), step("b", on_unknown=OnUnknown.PARK), step("c"), compensate_on_failure=False)
    saga = started(plan, A, B, C)
    saga.succeed(C)
    saga.fail(A)
    saga.fail(B, FailureKind.UNKNOWN)
    assert saga.leftovers[B] == "may have run"
    rewind(saga, C, C)
    assert saga.of(B, Parked).why is ParkReason.OUTCOME_UNKNOWN
    saga.of(A, Retrying)


def parked_in_doubt() -> Saga:
    """A saga whose second step was passed over in doubt, and whose third one is parked."""
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.take_over()
    saga.tell(StepSkipped(saga.moment, B, (Unbindable(C),)))
    return saga


def test_a_step_in_doubt_is_named_too() -> None:
    saga = started(Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PARK)), A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    assert refusal(saga, B) == (Refusal.UNNAMED, B)
    saga.tell(StepSettled(saga.moment, B, finding=Finding.NEVER_RAN))
    rewind(saga, B)
    saga = started(Plan.of(step("a"), step("b", "a")), A)
    saga.succeed(A, B)
    saga.take_over()
    saga.tell(StepSkipped(saga.moment, B))
    assert saga.of(B, Skipped).doubt
    assert refusal(parked_in_doubt(), B, A) == (Refusal.UNNAMED, B)


@pytest.mark.parametrize("to", [A, B])
def test_a_pivot_that_is_done_is_never_run_again(to: StepId) -> None:
    saga = started(PIVOTED, A)
    saga.succeed(A, B)
    saga.succeed(B, C)
    saga.fail(C)
    assert refusal(saga, to, A, B, C) == (Refusal.PAST_PIVOT, B)
    rewind(saga, C)
    saga.tick(C)
    saga.succeed(C)
    assert saga.status is SagaStatus.COMPLETED


def test_a_pivot_in_doubt_is_settled_first() -> None:
    saga = started(PIVOTED, A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.OUTPUT_LOST)
    assert refusal(saga, A, A, B) == (Refusal.IN_DOUBT, B)
    saga = started(PIVOTED, A)
    saga.succeed(A, B)
    saga.take_over()
    assert refusal(saga, B, B) == (Refusal.IN_DOUBT, B)
    saga = started(PIVOTED, A)
    saga.succeed(A)
    saga.tell(Ticked(saga.moment, (Unbindable(B),)))
    rewind(saga, A, A)


def test_a_saga_is_taken_back_only_to_what_has_begun() -> None:
    saga = started(THREE)
    assert refusal(saga, A) == (Refusal.NOTHING_TO_REWIND, A)
    assert refusal(saga, StepId("x")) == (Refusal.UNKNOWN_STEP, StepId("x"))
    saga = parked_at_c()
    rewind(saga, B, B)
    assert refusal(saga, B, B) == (Refusal.NOTHING_TO_REWIND, B), "a second click"
    rewind(saga, A, A)
    first = saga.of(B, Rewound).seq
    assert first < saga.of(A, Rewound).seq, "b has not begun since"
    assert saga.rejection(RewindRequested(saga.moment, A, (A, A0))).step == A0


def test_a_wait_waits_again_and_its_old_event_is_not_taken_again() -> None:
    saga = started(Plan.of(step("a"), wait("b", "a", timeout=Micros(SECOND)), step("c", "b")), A)
    saga.succeed(A)
    saga.receive("paid")
    saga.tell(Ticked(saga.moment, (Unbindable(C),)))
    rewind(saga, A, A)
    assert begun_before(saga.plan, saga.state) == (A, C), "a wait has no effect"
    saga.tick(A)
    saga.wait(5 * SECOND)
    saga.succeed(A)
    assert saga.of(B, Waiting).times_out_at == 6 * SECOND
    saga.receive("paid")
    assert saga.tick(C).actions[0].step == C


def test_a_wait_that_is_taken_back_takes_an_event_that_was_kept_since() -> None:
    saga = started(Plan.of(wait("a"), step("b", "a")))
    saga.receive("paid")
    saga.receive("paid")
    saga.tell(Ticked(saga.moment, (Unbindable(B),)))
    rewind(saga, A)
    assert saga.of(A, Succeeded).seq == 3
    saga.of(B, Rewound)


def test_a_sleep_sleeps_again() -> None:
    saga = started(Plan.of(sleep("a", timeout=Micros(SECOND)), step("b", "a")))
    saga.wait(SECOND)
    saga.tell(Ticked(saga.moment, (Unbindable(B),)))
    saga.wait(SECOND)
    rewind(saga, A)
    assert saga.of(A, Sleeping).wake == 3 * SECOND


def test_a_fan_out_runs_again_as_a_whole_with_items_under_other_keys() -> None:
    saga = Saga(Plan.of(step("a", concurrency=2), step("b", "a")))
    saga.start()
    seen = Digest(b"list")
    saga.tell(Ticked(saga.moment, (BoundEach(A, 2, seen), *bound(A0, A1, digest=b"list"))))
    saga.succeed(A0)
    saga.fail(A1, FailureKind.OUTPUT_LOST)
    assert refusal(saga, A0, A) == (Refusal.ITEM_ALONE, A0)
    assert rewinding(saga.plan, saga.state, A, saga.moment) == Rewinding((A,), (A,))
    rewind(saga, A, A)
    rev = saga.state.rev
    assert saga.kinds() == {A: "Rewound"}
    inputs: tuple[Binding, ...] = (BoundEach(A, 1, Digest(b"other")), *bound(A0, digest=b"other"))
    assert saga.tell(Ticked(saga.moment, inputs)).actions == (RunStep(A0, rev + 1, rev),)
    assert saga.of(A, FannedOut).rewound == rev
    saga.succeed(A0, B)
    saga.succeed(B)
    assert saga.status is SagaStatus.COMPLETED


def test_a_saga_that_is_parked_after_it_went_back_keeps_its_keys() -> None:
    saga = parked_at_c()
    rewind(saga, B, B)
    rev = saga.state.rev
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    saga.tell(RetryRequested(saga.moment, B))
    assert saga.tick(B).actions == (RunStep(B, rev + 1, rev),)


def test_a_step_that_was_taken_back_is_skipped_or_passed_over_like_one_that_has_not_begun() -> None:
    saga = parked_at_c()
    rewind(saga, B, B)
    assert saga.refusal(StepSkipped(saga.moment, B)) is Refusal.NOT_BEGUN
    saga.tell(StepSkipped(saga.moment, B, not_begun=True))
    saga.of(B, Skipped)
    saga = parked_at_c(Plan.of(step("a"), step("b", "a", when=True), step("c", "b")))
    rewind(saga, B, B)
    saga.tell(Ticked(saga.moment, (Declined(B), *bound(C))))
    assert saga.kinds()[B] == "NotTaken"


def test_a_probe_after_it_asks_for_the_new_key() -> None:
    saga = started(Plan.of(step("a", on_unknown=OnUnknown.PROBE, retry=AT_ONCE), step("b", "a")), A)
    saga.succeed(A)
    saga.tell(Ticked(saga.moment, (Unbindable(B),)))
    rewind(saga, A, A)
    rev = saga.state.rev
    saga.tick(A)
    assert saga.fail(A, FailureKind.UNKNOWN).actions == (RunProbe(A, rev + 1, rev),)


def test_an_abort_a_retry_and_a_rollback_leave_what_was_taken_back_as_it_is() -> None:
    saga = parked_at_c()
    rewind(saga, B, B)
    saga.abort()
    assert saga.leftovers == {A: "not undone"}
    saga.tell(RetryRequested(saga.moment, B))
    saga.tick(B)
    saga.fail(B)
    assert saga.kinds() == {A: "Undoing", B: "FailedForGood", C: "Rewound"}


def test_a_deadline_that_is_over_is_forgiven_to_a_saga_that_has_failed() -> None:
    late = Plan.of(step("a"), step("b", "a"), deadline=Micros(SECOND), compensate_on_failure=False)
    saga = started(late, A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.wait(2 * SECOND)
    rewind(saga, B)
    assert saga.state.deadline is None
    saga.tick(B)
    saga.of(B, Running)


def test_a_plan_that_leaves_no_way_forward_refuses_it() -> None:
    saga = started(Plan.of(step("a"), step("b"), step("c"), compensate_on_failure=False), A, B, C)
    saga.succeed(B)
    saga.succeed(C)
    saga.fail(A)
    saga.of(A, FailedForGood)
    changed = Plan.of(step("a"), step("b", "a"), step("c"), compensate_on_failure=False)
    saga.plan = changed  # while it was rolling back it fitted
    saga.current = replace(saga.state, plan=changed.id)
    assert refusal(saga, C, C) == (Refusal.PLAN_MISMATCH, B)


def test_another_plan_takes_over_a_saga_that_was_taken_back() -> None:
    saga = parked_at_c()
    rewind(saga, B, B)
    changed = Plan.of(step("a"), wait("b", "a"), step("c", "a"), step("d", "b", "c"))
    saga.plan = changed
    saga.tell(PlanChanged(saga.moment, changed.id))
    saga.tick(C)
    assert saga.kinds() == {A: "Succeeded", B: "Waiting", C: "Running"}


def test_in_a_graph_only_what_follows_goes_back() -> None:
    saga = started(DIAMOND, A)
    saga.succeed(A, B, C)
    saga.succeed(B)
    saga.succeed(C)
    saga.tell(Ticked(saga.moment, (Unbindable(D),)))
    assert rewinding(saga.plan, saga.state, C, saga.moment) == Rewinding((C, D), (C,))
    rewind(saga, C, C)
    assert saga.kinds() == {A: "Succeeded", B: "Succeeded", C: "Rewound", D: "Rewound"}
