"""Which inputs a success will need, seen ahead; `test_exploration` compares it with what comes of every success."""

from __future__ import annotations

import msgspec
import pytest

from saga_fn.core.facts import foresee
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.core.state import (
    Attempts,
    FailedForGood,
    Goal,
    Parked,
    ParkReason,
    Retrying,
    Running,
    SagaState,
    Skipped,
    StepState,
    Succeeded,
    Unknown,
)
from tests.core.given import DIAMOND, A, B, sequence, sleep, started, step, wait

C, D = StepId("c"), StepId("d")
TRIED = Attempts(attempt=1)


def state_of(plan: Plan, *steps: StepState) -> SagaState:
    return SagaState(
        plan=plan.id,
        rev=4,
        at=Moment(0),
        steps=steps,
        events=(2,),
        latest_event_seq=2,
        failed_takeovers=1,
        isolated=True,
    )


def test_the_next_step_will_need_its_input() -> None:
    plan = sequence("abc")
    before = state_of(plan, Succeeded(A, 2), Running(B, TRIED))
    known, needs = foresee(plan, before, B)
    assert needs == (C,)
    assert known == msgspec.structs.replace(before, steps=(Succeeded(A, 2), Succeeded(B, 5)), latest_event_seq=0)


def test_after_the_last_nothing_is_needed() -> None:
    plan = sequence("ab")
    assert foresee(plan, state_of(plan, Skipped(A, 2), Running(B, TRIED)), B)[1] == ()


def test_a_join_waits_for_all_and_a_fork_starts_all() -> None:
    assert foresee(DIAMOND, state_of(DIAMOND, Running(A, TRIED)), A)[1] == (B, C)
    half = state_of(DIAMOND, Succeeded(A, 2), Running(B, TRIED), Running(C, TRIED))
    known, needs = foresee(DIAMOND, half, B)
    assert needs == ()
    assert known == msgspec.structs.replace(
        half, steps=(Succeeded(A, 2), Succeeded(B, 5), Running(C, TRIED)), latest_event_seq=0
    )
    whole = state_of(DIAMOND, Succeeded(A, 2), Running(B, TRIED), Succeeded(C, 4))
    assert foresee(DIAMOND, whole, B)[1] == (D,)


@pytest.mark.parametrize(
    "other",
    [
        Unknown(B, TRIED),
        Retrying(B, TRIED, Moment(9)),
        Parked(B, TRIED, ParkReason.INPUT_FAILED),
        FailedForGood(B, TRIED),
    ],
    ids=lambda other: type(other).__name__,
)
def test_nothing_is_foreseen_where_something_has_gone_wrong(other: StepState) -> None:
    plan = Plan.of(step("a"), step("b"), step("c", "a"))
    right = state_of(plan, Running(A, TRIED), Running(B, TRIED))
    assert foresee(plan, right, A)[1] == (C,)
    wrong = state_of(plan, Running(A, TRIED), other)
    assert foresee(plan, wrong, A) == (wrong, ())


@pytest.mark.parametrize("goal", [Goal.ROLLBACK, Goal.HALT])
def test_nothing_is_foreseen_on_the_way_back(goal: Goal) -> None:
    plan = sequence("ab")
    back = msgspec.structs.replace(state_of(plan, Running(A, TRIED)), goal=goal)
    assert foresee(plan, back, A) == (back, ())


@pytest.mark.parametrize(
    "follower, needs",
    [(step("b", "a"), (B,)), (wait("b", "a"), ()), (wait("b", "a", correlated=True), (B,)), (sleep("b", "a"), (B,))],
    ids=["step", "wait", "correlated", "until"],
)
def test_only_what_has_to_be_computed_is_foreseen(follower: PlannedStep, needs: tuple[StepId, ...]) -> None:
    plan = Plan.of(step("a"), follower)
    assert foresee(plan, started(plan, A).state, A)[1] == needs
