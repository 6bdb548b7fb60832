"""Plans that change under a saga: what fits goes on, what does not is refused."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from saga_fn.core.effects import Refusal
from saga_fn.core.events import CompensationRequested, FailureKind, PlanChanged, RetryRequested
from saga_fn.core.ids import Moment
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.core.projection import SagaStatus
from saga_fn.core.state import Waiting
from tests.core.given import MINUTE, ONE, SECOND, THREE, A, B, C, sequence, sleep, started, step, wait


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


def test_a_changed_plan_may_change_how_long_something_waits() -> None:
    saga = started(Plan.of(wait("a", limit=SECOND)))
    saga.plan = Plan.of(wait("a", limit=MINUTE))
    saga.tell(PlanChanged(saga.moment, saga.plan.id))
    assert saga.of(A, Waiting).until == SECOND


@pytest.mark.parametrize(
    "planned, changed", list(itertools.permutations([step("a"), wait("a"), sleep("a", limit=SECOND)], 2))
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
