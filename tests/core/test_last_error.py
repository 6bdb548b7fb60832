"""The error that a saga's row shows: the last one, until what failed is done."""

from __future__ import annotations

import pytest

from saga_fn.core.events import Event, ProbeAnswered, StepSkipped, StepSucceeded, Ticked
from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.last_error import forgets_error, is_in_trouble
from saga_fn.core.state import Attempts, Goal, Retrying, Running, SagaState, StepState, Succeeded, Unknown
from tests.core.given import A, B

AT = Moment(1)
PLAN = PlanId("plan")


def saga(*steps: StepState, goal: Goal = Goal.FORWARD) -> SagaState:
    return SagaState(plan=PLAN, rev=3, at=AT, goal=goal, steps=steps)


FINE = saga(Succeeded(A, 2), Running(B, Attempts(attempt=1)))
TROUBLES = [
    saga(Running(A, Attempts(attempt=2, failures=1))),
    saga(Succeeded(A, 2), Retrying(B, Attempts(attempt=1), AT)),
    saga(Succeeded(A, 2), Unknown(B, Attempts(attempt=1))),
    saga(Succeeded(A, 2), goal=Goal.ROLLBACK),
    saga(goal=Goal.FAILED),
]


def test_a_saga_is_in_trouble_while_something_has_failed_and_is_not_done() -> None:
    assert not is_in_trouble(FINE)
    assert not is_in_trouble(saga(Succeeded(A, 2), goal=Goal.COMPLETED))
    assert all(is_in_trouble(state) for state in TROUBLES)


@pytest.mark.parametrize("event", [StepSucceeded(AT, A, 1), ProbeAnswered(AT, A, 1, done=True)], ids=["step", "probe"])
def test_a_success_forgets_the_error_when_nothing_is_in_trouble(event: Event) -> None:
    assert forgets_error(event, FINE)
    assert not any(forgets_error(event, state) for state in TROUBLES)


@pytest.mark.parametrize("event", [Ticked(AT), StepSkipped(AT, A), ProbeAnswered(AT, A, 1, done=False)])
def test_nothing_else_forgets_it(event: Event) -> None:
    assert not forgets_error(event, FINE)
