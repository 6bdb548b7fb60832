"""Plans that change under a saga: what fits goes on, what does not is refused."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from saga_fn.core.effects import Misfit, Refusal, Rejection, RunCompensation
from saga_fn.core.events import (
    CompensationRequested,
    Declined,
    FailureKind,
    HandedBack,
    PlanChanged,
    RetryRequested,
    SagaParked,
    Ticked,
)
from saga_fn.core.ids import Micros, Moment, StepId
from saga_fn.core.plan import OnUnknown, Plan, PlannedStep
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.core.state import Parked, ParkReason, Retrying, Running, Sleeping, UndoParked, Waiting
from tests.core.given import (
    MINUTE,
    ONE,
    SECOND,
    THREE,
    THRICE,
    A,
    B,
    C,
    Saga,
    bound,
    sequence,
    sleep,
    started,
    step,
    wait,
)


@pytest.mark.predecessor(27)
def test_steps_are_found_by_name_when_the_plan_grows() -> None:
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
@pytest.mark.predecessor(27)
def test_a_plan_that_does_not_fit_is_refused(changed: Plan) -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.plan = changed
    assert saga.refusal(PlanChanged(Moment(0), changed.id)) is Refusal.PLAN_MISMATCH


def test_a_rollback_may_go_on_under_another_order_but_never_forward_again() -> None:
    saga = started(sequence("ab", undo=""), A)
    saga.succeed(A, B)
    saga.ask(CompensationRequested(Moment(0)))
    saga.plan = Plan.of(step("a", undo=False), step("x", "a"), step("b", "x"))
    saga.tell(PlanChanged(Moment(0), saga.plan.id))
    saga.fail(B, FailureKind.UNKNOWN)
    assert saga.status is SagaStatus.FAILED
    assert saga.refusal(RetryRequested(Moment(0))) is Refusal.PLAN_MISMATCH


@pytest.mark.parametrize(
    "way, then", [(OnUnknown.PROBE, "Probing"), (OnUnknown.UNDO, "Undoing"), (OnUnknown.PARK, "Parked")]
)
@pytest.mark.parametrize("first", ["waits", "runs"])
def test_what_may_have_run_and_waits_to_be_repeated_is_settled_as_the_new_plan_says(
    way: OnUnknown, then: str, first: str
) -> None:
    def plan(on_unknown: OnUnknown) -> Plan:
        settled = step(
            "b",
            "a",
            on_unknown=on_unknown,
            undo_in_doubt=True,
            retry=THRICE,
            unknown_retry=THRICE,
            probe_retry=THRICE,
        )
        return Plan.of(step("a"), settled)

    saga = started(plan(OnUnknown.REPEAT), A)
    saga.succeed(A, B)
    saga.fail(B, FailureKind.UNKNOWN)
    if first == "runs":  # once more, and is surely not done this time: what was before it is still open
        saga.wait(SECOND)
        saga.tick(B)
    saga.plan = plan(way)
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    if first == "runs" and way is OnUnknown.PARK:
        return  # its repeat was under way
    if first == "runs":
        saga.fail(B)
    else:
        saga.wait(SECOND)
        saga.tick()
    assert saga.kinds()[B] == then
    assert all(not isinstance(saga.of(B, object), kind) for kind in (Running, Retrying))


def test_no_probe_begins_beside_a_compensation_that_an_earlier_plan_has_begun() -> None:
    saga = started(Plan.of(step("a"), step("b", "a", undo=False)), A)
    saga.succeed(A, B)
    saga.tell(HandedBack(saga.moment))
    saga.ask(CompensationRequested(saga.moment))
    assert saga.kinds() == {A: "Undoing", B: "Unknown"}
    saga.plan = Plan.of(step("a"), step("b", "a", undo=False, on_unknown=OnUnknown.PROBE))
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    assert saga.kinds() == {A: "Undoing", B: "FailedForGood"}
    saga.undo(A)
    assert saga.leftovers == {B: "may have run"}


def test_a_plan_that_lost_the_steps_to_come_completes_the_saga() -> None:
    saga = started(THREE, A)
    saga.succeed(A)
    saga.plan = ONE
    saga.tell(PlanChanged(Moment(0), ONE.id))
    assert saga.status is SagaStatus.COMPLETED


def test_a_changed_plan_may_change_how_long_something_waits() -> None:
    saga = started(Plan.of(wait("a", timeout=Micros(SECOND))))
    saga.plan = Plan.of(wait("a", timeout=Micros(MINUTE)))
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    assert saga.of(A, Waiting).times_out_at == SECOND


@pytest.mark.parametrize(
    "planned, changed", list(itertools.permutations([step("a"), wait("a"), sleep("a", timeout=Micros(SECOND))], 2))
)
def test_what_has_begun_stays_of_its_kind(planned: PlannedStep, changed: PlannedStep) -> None:
    saga = started(Plan.of(planned), A)
    saga.plan = Plan.of(changed)
    assert saga.refusal(PlanChanged(saga.moment, saga.plan.id)) is Refusal.PLAN_MISMATCH


def test_a_plan_that_no_longer_has_a_step_to_undo_does_not_fit() -> None:
    saga = started(Plan.of(step("a", undo_waits=("paid",)), step("b", "a")), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.undo_waits(A)
    saga.plan = Plan.of(wait("a"), step("b", "a"))
    assert saga.refusal(PlanChanged(saga.moment, saga.plan.id)) is Refusal.PLAN_MISMATCH


def test_what_failed_is_not_tried_again_where_its_new_plan_leaves_no_way_forward() -> None:
    bare = [step(name, undo=False) for name in "ab"]
    saga = started(Plan.of(*bare), A, B)
    saga.fail(A)
    saga.plan = Plan.of(step("c", undo=False), *(replace(each, after=(C,)) for each in bare))
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    saga.fail(B, FailureKind.UNKNOWN)
    assert saga.status is SagaStatus.FAILED
    assert saga.refusal(RetryRequested(saga.moment)) is Refusal.PLAN_MISMATCH


# What does not fit, and how.


@pytest.mark.parametrize(
    "changed, misfit",
    [
        (sequence("bc"), Rejection(Refusal.PLAN_MISMATCH, A, Misfit.GONE)),
        (
            Plan.of(step("a"), step("x", "a"), step("b", "x")),
            Rejection(Refusal.PLAN_MISMATCH, B, Misfit.OUT_OF_ORDER, StepId("x")),
        ),
        (Plan.of(step("a"), wait("b", "a")), Rejection(Refusal.PLAN_MISMATCH, B, Misfit.OTHER_KIND)),
    ],
)
def test_a_plan_that_does_not_fit_is_told_by_the_step_that_it_does_not_fit(changed: Plan, misfit: Rejection) -> None:
    saga = started(THREE, A)
    saga.succeed(A, B)
    saga.plan = changed
    assert saga.rejection(PlanChanged(Moment(0), changed.id)) == misfit


def test_a_plan_that_takes_for_granted_what_was_passed_over_is_told_so() -> None:
    saga = started(Plan.of(step("a", when=True), step("b", "a")))
    saga.tell(Ticked(saga.moment, (Declined(A), *bound(B))))
    saga.plan = sequence("ab")
    assert saga.rejection(PlanChanged(saga.moment, saga.plan.id)) == Rejection(
        Refusal.PLAN_MISMATCH, A, Misfit.NOT_TAKEN
    )


def test_a_plan_whose_pivot_has_run_does_not_fit_a_rollback() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.plan = Plan.of(step("a", undo=False, pivot=True), step("b", "a", undo=False))
    assert saga.rejection(PlanChanged(saga.moment, saga.plan.id)) == Rejection(Refusal.PLAN_MISMATCH, A, Misfit.PIVOT)


# What was parked because no plan fitted.


def parked_by_plan(plan: Plan, *begun: StepId) -> Saga:
    saga = started(plan, *begun)
    saga.tell(SagaParked(saga.moment, ParkReason.PLAN_CHANGED))
    assert saga.row.waits & (WaitReason.PARKED | WaitReason.PLAN) == WaitReason.PARKED | WaitReason.PLAN
    return saga


def test_what_was_parked_by_a_plan_goes_on_when_the_plan_is_back() -> None:
    saga = parked_by_plan(THREE)
    assert saga.of(A, Parked).why is ParkReason.PLAN_CHANGED
    assert saga.tell(PlanChanged(saga.moment, THREE.id)).needs == (A,)
    assert saga.row.waits & WaitReason.PARKED == WaitReason.NOTHING


def test_what_was_parked_by_a_plan_goes_on_by_another_that_fits() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A)
    saga.tell(SagaParked(saga.moment, ParkReason.PLAN_CHANGED))
    saga.plan = THREE
    assert saga.tell(PlanChanged(saga.moment, THREE.id)).needs == (B,)


def test_what_was_running_when_a_plan_parked_it_may_have_run_when_it_goes_on() -> None:
    saga = parked_by_plan(Plan.of(step("a", on_unknown=OnUnknown.PROBE)), A)
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    assert saga.kinds() == {A: "Probing"}


def test_an_attempt_that_waited_when_a_plan_parked_it_keeps_its_count() -> None:
    saga = started(sequence("a", retry=THRICE), A)
    saga.fail(A)
    saga.tell(SagaParked(saga.moment, ParkReason.PLAN_CHANGED))
    saga.wait(MINUTE)
    assert saga.tell(PlanChanged(saga.moment, saga.plan.id)).needs == (A,)
    assert saga.of(A, Retrying).attempts.failures == 1


def test_a_sleep_that_a_plan_parked_is_over_when_it_would_have_been() -> None:
    saga = parked_by_plan(Plan.of(sleep("a", timeout=Micros(SECOND)), step("b", "a")))
    saga.wait(SECOND // 2)
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    assert saga.of(A, Sleeping).wake == SECOND
    saga.wait(SECOND // 2)
    assert saga.tick().needs == (B,)


def test_a_wait_that_a_plan_parked_takes_what_came_meanwhile() -> None:
    saga = parked_by_plan(Plan.of(wait("a", timeout=Micros(SECOND)), step("b", "a")))
    saga.receive("paid")
    assert saga.tell(PlanChanged(saga.moment, saga.plan.id)).needs == (B,)
    assert saga.state.buffered == ()


def test_a_wait_that_a_plan_parked_goes_on_until_it_would_have_been_over() -> None:
    saga = parked_by_plan(Plan.of(wait("a", timeout=Micros(SECOND)), step("b", "a")))
    saga.wait(SECOND // 2)
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    assert saga.of(A, Waiting).times_out_at == SECOND


def test_a_wait_that_a_plan_parked_stays_of_its_kind() -> None:
    saga = parked_by_plan(Plan.of(wait("a", timeout=Micros(SECOND))))
    saga.plan = Plan.of(step("a"))
    assert saga.rejection(PlanChanged(saga.moment, saga.plan.id)).misfit is Misfit.OTHER_KIND


def test_a_compensation_that_a_plan_parked_goes_on_when_the_plan_is_back() -> None:
    saga = started(sequence("ab"), A)
    saga.succeed(A, B)
    saga.fail(B)
    saga.tell(SagaParked(saga.moment, ParkReason.PLAN_CHANGED))
    assert saga.of(A, UndoParked).why is ParkReason.PLAN_CHANGED
    assert saga.tell(PlanChanged(saga.moment, saga.plan.id)).actions == (RunCompensation(A, 2, 2),)


def test_what_a_person_is_to_see_to_does_not_go_on_by_a_plan() -> None:
    saga = started(ONE, A)
    saga.tell(SagaParked(saga.moment, ParkReason.ROW_REJECTED))
    saga.tell(PlanChanged(saga.moment, ONE.id))
    assert saga.of(A, Parked).why is ParkReason.ROW_REJECTED
