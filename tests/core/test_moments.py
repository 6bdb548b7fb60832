"""What has to be known before a step can begin, and when a wait is over."""

from __future__ import annotations

import pytest

from saga_fn.core.event_matching import is_over, timer_moments
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.plan import PlannedStep, StepKind
from saga_fn.core.state import Attempts, Goal, Running, SagaState, Sleeping, StepState, Waiting
from tests.core.given import ONE, A, B


@pytest.mark.parametrize(
    "planned, needs",
    [
        (PlannedStep(A), True),
        (PlannedStep(A, kind=StepKind.EVENT, waits_for=("paid",)), False),
        (PlannedStep(A, kind=StepKind.EVENT, waits_for=("paid",), correlated=True), True),
        (PlannedStep(A, kind=StepKind.SLEEP, timeout=Micros(5)), False),
        (PlannedStep(A, kind=StepKind.SLEEP), True),
    ],
)
def test_an_input_is_needed_where_something_is_to_be_computed(planned: PlannedStep, needs: bool) -> None:
    assert planned.needs_input is needs


@pytest.mark.parametrize(
    "step, over",
    [
        (Waiting(A, None), False),
        (Waiting(A, Moment(6)), False),
        (Waiting(A, Moment(5)), True),
        (Sleeping(B, Moment(6)), False),
        (Sleeping(B, Moment(5)), True),
        (Running(A, Attempts()), False),
    ],
)
def test_a_wait_is_over_when_its_moment_has_come(step: StepState, over: bool) -> None:
    assert is_over(step, Moment(5)) is over


@pytest.mark.parametrize(
    "goal, moments", [(Goal.FORWARD, (Moment(7), Moment(9))), (Goal.HALT, ()), (Goal.ROLLBACK, ()), (Goal.FAILED, ())]
)
def test_waits_and_sleeps_have_alarms_only_on_the_way_forward(goal: Goal, moments: tuple[Moment, ...]) -> None:
    waiting = SagaState(3, Moment(5), goal, (Waiting(A, Moment(7)), Sleeping(B, Moment(9))), plan=ONE.id)
    assert timer_moments(waiting) == moments
