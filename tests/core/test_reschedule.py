"""A person names the moment at which a sleep or a delay is over, and nothing else is moved."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from saga_fn.core.effects import Refusal, Rejection, Transition
from saga_fn.core.events import Rescheduled
from saga_fn.core.flaws import LAST_MOMENT, flaw_in
from saga_fn.core.ids import Moment, StepId
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.state import (
    Attempts,
    Goal,
    Retrying,
    SagaState,
    Sleeping,
    StepState,
    UndoRetrying,
    Unknown,
    Waiting,
)
from saga_fn.core.transition import transition
from tests.core.given import A, B, C, step

ONCE = Attempts(1, 1)
NOW = Moment(1)
EVERY = StepId("")
PLAN = Plan.of(step("a", on_unknown=OnUnknown.PROBE), step("b"), step("c"))


def told(state: SagaState, to: int, step_id: StepId = EVERY) -> Transition:
    return transition(PLAN, state, Rescheduled(NOW, Moment(to), step_id)).unwrap()


def standing(*steps: StepState, goal: Goal = Goal.FORWARD) -> SagaState:
    return SagaState(3, NOW, goal, steps, plan=PLAN.id)


@pytest.mark.parametrize("to, wakes", [(0, 1), (5, 5), (90, 90)])
@pytest.mark.parametrize(
    "before, goal",
    [
        (Retrying(A, ONCE, Moment(60)), Goal.FORWARD),
        (Sleeping(A, Moment(60)), Goal.FORWARD),
        (Unknown(A, ONCE, Moment(60)), Goal.FORWARD),
        (UndoRetrying(A, 1, ONCE, Moment(60)), Goal.ROLLBACK),
    ],
)
def test_what_sleeps_goes_on_at_the_moment_that_a_person_names(
    before: Retrying | Sleeping | Unknown | UndoRetrying, goal: Goal, to: int, wakes: int
) -> None:
    assert told(standing(before, goal=goal), to, A).state.steps == (
        replace(before, wake=Moment(wakes), set_at=Moment(wakes)),
    )


def test_neither_a_wait_nor_a_deadline_is_moved_with_what_sleeps() -> None:
    waits = (Waiting(A, Moment(50)), Waiting(B))
    state = replace(standing(*waits, Retrying(C, ONCE, Moment(60))), deadline=Moment(70))
    moved = told(state, 90).state
    assert moved.steps == (*waits, Retrying(C, ONCE, Moment(90), Moment(90)))
    assert moved.deadline == 70


def test_only_the_step_that_is_named_is_moved() -> None:
    state = standing(Retrying(A, ONCE, Moment(60)), Sleeping(B, Moment(60)))
    assert told(state, 90, B).state.steps == (Retrying(A, ONCE, Moment(60)), Sleeping(B, Moment(90), Moment(90)))


def test_no_attempt_is_brought_forward_to_when_the_one_before_may_still_run() -> None:
    held = replace(ONCE, may_run_until=Moment(40))
    assert told(standing(Retrying(A, held, Moment(60))), 2).state.steps == (Retrying(A, held, Moment(40), Moment(40)),)


@pytest.mark.parametrize("deadline", [None, Moment(70)])
def test_a_start_is_not_moved_to_where_it_or_its_deadline_could_not_be_stored(deadline: Moment | None) -> None:
    state = replace(standing(), begins_at=Moment(60), deadline=deadline)
    last = Moment(LAST_MOMENT if deadline is None else LAST_MOMENT - 10)
    moved = told(state, last).state
    assert (moved.begins_at, moved.deadline) == (last, deadline and LAST_MOMENT)
    assert flaw_in(moved, moved.rev) is None
    refused = transition(PLAN, state, Rescheduled(NOW, Moment(last + 1), EVERY))
    assert refused.failure() == Rejection(Refusal.TOO_LATE)


def test_what_sleeps_is_not_moved_to_where_it_could_not_be_stored() -> None:
    state = standing(Sleeping(A, Moment(60)))
    assert told(state, LAST_MOMENT, A).state.steps == (Sleeping(A, LAST_MOMENT, LAST_MOMENT),)
    refused = transition(PLAN, state, Rescheduled(NOW, Moment(LAST_MOMENT + 1), A))
    assert refused.failure() == Rejection(Refusal.TOO_LATE, A)
