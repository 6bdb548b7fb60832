"""Which inputs an event will need, seen ahead; `test_exploration` compares it with what comes of every such event."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from saga_fn.core import foresight
from saga_fn.core.events import Event, Resumed, Started, StepSucceeded, Ticked
from saga_fn.core.foresight import foresee_start
from saga_fn.core.ids import Digest, Micros, Moment, StepId, item_of
from saga_fn.core.plan import Plan, PlannedStep
from saga_fn.core.state import (
    Attempts,
    Buffered,
    FailedForGood,
    FannedOut,
    Goal,
    Joined,
    Parked,
    ParkReason,
    Retrying,
    Running,
    SagaState,
    Skipped,
    Sleeping,
    StepState,
    Succeeded,
    Unknown,
)
from saga_fn.core.transition import transition
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


def foresee(plan: Plan, state: SagaState, event: Event) -> tuple[SagaState, tuple[StepId, ...]]:
    """The saga in the light of which inputs are computed, and whose; as it is and none, if nothing is foreseen."""
    ahead = foresight.foresee(plan, state, event)
    return (state, ()) if ahead is None else (ahead.known, ahead.needs)


def done(name: StepId) -> Event:
    return StepSucceeded(Moment(0), name, 1)


def test_the_next_step_will_need_its_input() -> None:
    plan = sequence("abc")
    before = state_of(plan, Succeeded(A, 2), Running(B, TRIED))
    known, needs = foresee(plan, before, done(B))
    assert needs == (C,)
    assert (known.steps, known.events, known.latest_event_seq) == ((Succeeded(A, 2), Succeeded(B, 5)), (2,), 0)


def test_after_the_last_nothing_is_needed() -> None:
    plan = sequence("ab")
    assert foresee(plan, state_of(plan, Skipped(A, 2), Running(B, TRIED)), done(B))[1] == ()


def test_a_join_waits_for_all_and_a_fork_starts_all() -> None:
    assert foresee(DIAMOND, state_of(DIAMOND, Running(A, TRIED)), done(A))[1] == (B, C)
    half = state_of(DIAMOND, Succeeded(A, 2), Running(B, TRIED), Running(C, TRIED))
    known, needs = foresee(DIAMOND, half, done(B))
    assert needs == ()
    assert known.steps == (Succeeded(A, 2), Succeeded(B, 5), Running(C, TRIED))
    whole = state_of(DIAMOND, Succeeded(A, 2), Running(B, TRIED), Succeeded(C, 4))
    assert foresee(DIAMOND, whole, done(B))[1] == (D,)


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
    assert foresee(plan, right, done(A))[1] == (C,)
    wrong = state_of(plan, Running(A, TRIED), other)
    assert foresee(plan, wrong, done(A)) == (wrong, ())


def test_what_follows_a_list_will_need_its_input_when_the_last_item_is_done() -> None:
    plan = Plan.of(step("a", concurrency=2), step("b", "a"))
    items = item_of(A, 0), item_of(A, 1)
    last = state_of(plan, FannedOut(A, 2, Digest(b"l")), Succeeded(items[0], 3), Running(items[1], TRIED))
    known, needs = foresee(plan, last, done(items[1]))
    assert needs == (B,)
    assert known.steps == (Joined(A, 2), Succeeded(items[0], 3), Succeeded(items[1], 5))


def test_no_more_items_will_start_than_may_run_at_once() -> None:
    plan = Plan.of(step("a", concurrency=2), step("b"))
    one = state_of(plan, FannedOut(A, 4, Digest(b"l")), Running(item_of(A, 0), TRIED), Running(B, TRIED))
    assert foresee(plan, one, done(B))[1] == (item_of(A, 1),)


@pytest.mark.parametrize("goal", [Goal.ROLLBACK, Goal.HALT])
def test_nothing_is_foreseen_on_the_way_back(goal: Goal) -> None:
    plan = sequence("ab")
    back = msgspec.structs.replace(state_of(plan, Running(A, TRIED)), goal=goal)
    assert foresee(plan, back, done(A)) == (back, ())


@pytest.mark.parametrize(
    "follower, needs",
    [(step("b", "a"), (B,)), (wait("b", "a"), ()), (wait("b", "a", correlated=True), (B,)), (sleep("b", "a"), (B,))],
    ids=["step", "wait", "correlated", "until"],
)
def test_only_what_has_to_be_computed_is_foreseen(follower: PlannedStep, needs: tuple[StepId, ...]) -> None:
    plan = Plan.of(step("a"), follower)
    assert foresee(plan, started(plan, A).state, done(A))[1] == needs


def test_an_owner_that_comes_after_a_pause_needs_what_is_tried_again_and_what_follows_a_sleep() -> None:
    plan = Plan.of(sleep("a"), step("b"), step("c", "a"))
    paused = state_of(plan, Sleeping(A, Moment(3)), Retrying(B, TRIED, Moment(2)))
    assert foresee(plan, paused, Resumed(Moment(1)))[1] == ()
    assert foresee(plan, paused, Resumed(Moment(2)))[1] == (B,)
    known, needs = foresee(plan, paused, Resumed(Moment(3)))
    assert needs == (B, C)
    assert known == msgspec.structs.replace(paused, steps=(Succeeded(A, 5), Retrying(B, TRIED, Moment(2))))


def test_an_owner_that_comes_after_an_event_needs_what_follows_the_wait_for_it() -> None:
    plan = Plan.of(wait("a"), step("b", "a"), wait("c", "a"))
    assert foresee(plan, state_of(plan, Succeeded(A, 3)), Resumed(Moment(1)))[1] == (B,)


@pytest.mark.parametrize(
    "event, changes",
    [
        (Resumed(Moment(9), takeover=True), {}),
        (Ticked(Moment(9)), {}),
        (Resumed(Moment(9)), {"goal": Goal.ROLLBACK}),
        (Resumed(Moment(9)), {"steps": (Unknown(A, TRIED),)}),
        (Resumed(Moment(9)), {"begins_at": Moment(10)}),
        (Resumed(Moment(9)), {"deadline": Moment(9)}),
        (Resumed(Moment(9)), {"buffered": (Buffered(3, "e"),)}),
    ],
    ids=["taken over", "a tick", "going back", "in doubt", "delayed", "out of time", "an event is kept"],
)
def test_nothing_is_foreseen_of_an_owner_that_finds_more_than_a_pause(event: Event, changes: dict[str, Any]) -> None:
    plan = sequence("ab")
    paused = state_of(plan, Retrying(A, TRIED, Moment(9)))
    assert foresee(plan, paused, Resumed(Moment(9)))[1] == (A,)
    other = msgspec.structs.replace(paused, **changes)
    assert foresee(plan, other, event) == (other, ())


@pytest.mark.parametrize(
    "other", [step("b", "a", pivot=True, undo=False), step("b", "a", concurrency=2)], ids=["pivot", "fan-out"]
)
def test_nothing_is_foreseen_of_a_pause_where_a_plan_has_more_rules(other: PlannedStep) -> None:
    plan = Plan.of(step("a"), other)
    paused = state_of(plan, Retrying(A, TRIED, Moment(2)))
    assert foresee(plan, paused, Resumed(Moment(9))) == (paused, ())


@pytest.mark.parametrize("plan", [sequence("ab"), DIAMOND, Plan.of(step("a"), wait("b"), sleep("c"))], ids=lambda _: "")
def test_a_start_needs_what_its_fold_asks_for(plan: Plan) -> None:
    event = Started(Moment(1), plan.id)
    known, needs = foresee_start(plan, event)
    moved = transition(plan, None, event).unwrap()
    assert needs == moved.needs
    assert (known.steps, known.events) == ((), moved.state.events)


def test_a_start_with_a_delay_needs_nothing_yet() -> None:
    plan = sequence("ab")
    assert foresee_start(plan, Started(Moment(1), plan.id, delay=Micros(1)))[1] == ()
