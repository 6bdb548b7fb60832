"""One rule says which ends can come: what a person is told of a saga agrees with the walk over all that may happen to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from returns.result import Success

from saga_fn.core.events import OperatorVerb, RewindRequested, Started
from saga_fn.core.explain.preview import questions
from saga_fn.core.explain.prospects import prospects
from saga_fn.core.explore.ends import ends_of, happenings, shortened, variants
from saga_fn.core.explore.view import view_of
from saga_fn.core.ids import Digest, Micros, Moment, StepId, item_of
from saga_fn.core.leftovers import left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import SagaStatus, ended_as
from saga_fn.core.state import FannedOut, Parked, SagaState, StepState, Succeeded, UndoParked, Unfinished
from saga_fn.core.transition import transition
from tests.core.given import sleep, step, wait
from tests.core.strategies import plans

MOST_STATES = 3_000
"""States of one plan: a wide one has many more, and shows nothing that a narrow one does not."""


@st.composite
def small_plans(draw: st.DrawFn) -> Plan:
    """A plan of a few steps, some of whose undos wait for a person when they are used up."""
    plan = draw(plans().filter(lambda each: len(each.steps) <= 3))
    steps = [replace(each, undo_parks=draw(st.booleans())) for each in plan.steps]
    return shortened(Plan.from_data(replace(plan.data, steps=tuple(steps))))


Reached = dict[bytes, tuple[SagaState, set[SagaStatus], set[StepId]]]


def asked_of(plan: Plan, state: SagaState) -> Iterator[OperatorVerb]:
    """Every verb, with nothing more said, and a rewind that forgets all."""
    yield from (verb for _, verb in questions(plan, state, state.at, until=state.at))
    yield from (RewindRequested(state.at, each, forget=tuple(plan.index)) for each in plan.index)


def walked(plan: Plan, *, asks: bool = False) -> Reached | None:
    """Every state that a saga of the plan may come to by itself, with all ends and leftovers that it may come to from there.

    `asks`: also the states that a verb leads to, and those that follow by themselves. None if there are too many.
    """
    states: dict[bytes, SagaState] = {}
    after: dict[bytes, set[bytes]] = {}
    to_do: list[bytes] = []

    def arrive(state: SagaState) -> bytes:
        seen = view_of(plan, state, ())
        key = msgspec.msgpack.encode(seen)
        if key not in states:
            states[key] = seen
            to_do.append(key)
        return key

    for _, moved in variants(plan, None, Started(Moment(0), plan.id)):
        _ = arrive(moved.state)
    while to_do:
        if len(states) > MOST_STATES:
            return None
        key = to_do.pop()
        after[key] = {
            arrive(moved.state)
            for timed, event in happenings(plan, states[key])
            for _, moved in variants(plan, timed, event)
        }
        for verb in asked_of(plan, states[key]) if asks else ():  # it leads on, and is no way by itself
            if isinstance(decision := transition(plan, states[key], verb), Success):
                _ = arrive(decision.unwrap().state)
    ends = {key: {end} if (end := ended_as(state)) else set[SagaStatus]() for key, state in states.items()}
    left = {key: {each.step_id for each in left_over(plan, state)} for key, state in states.items()}
    has_grown = True
    while has_grown:
        has_grown = False
        for key, following in after.items():
            before = len(ends[key]) + len(left[key])
            ends[key] = ends[key].union(*(ends[each] for each in following))
            left[key] = left[key].union(*(left[each] for each in following))
            has_grown = has_grown or len(ends[key]) + len(left[key]) > before
    return {key: (state, ends[key], left[key]) for key, state in states.items()}


def is_open(step: StepState) -> bool:
    """Whether a person is asked about the step, or it may have run: then more is told than may come."""
    return isinstance(step, Parked | UndoParked) or (isinstance(step, Unfinished) and bool(step.attempts.doubt))


@given(plan=small_plans())
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_the_ends_that_are_told_are_those_that_may_come(plan: Plan) -> None:
    found = walked(plan)
    assume(found is not None)
    # Which items may be on their way together is not told apart, nor what a deadline can meet, nor when a condition is computed last.
    has_open_pivot = plan.pivot is not None and plan.step(plan.pivot).conditional
    is_exact = not plan.concurrencies and plan.data.deadline is None and not has_open_pivot
    for state, ends, left in (found or {}).values():
        said = prospects(plan, state)
        told = {plan.owner(each) for each in said.may_be_left}
        assert ends <= said.ends
        assert {plan.owner(each) for each in left} <= told
        if is_exact and not any(map(is_open, state.steps)):
            assert ends == said.ends
            assert left == told


@given(plan=small_plans().filter(lambda each: len(each.steps) < 3 and not each.concurrencies))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_no_end_comes_after_a_verb_that_was_not_told(plan: Plan) -> None:
    found = walked(plan, asks=True)
    assume(found is not None)
    for state, ends, left in (found or {}).values():
        said = prospects(plan, state)
        assert ends <= said.ends
        assert left <= {*said.may_be_left}


SAFE = step("b", "a", undo_in_doubt=True, undo_parks=True)


@pytest.mark.parametrize(
    "plan, ends",
    [
        (Plan.of(step("a", undo_in_doubt=True, undo_parks=True), SAFE), {"COMPLETED", "COMPENSATED"}),
        (Plan.of(step("a", undo_parks=True), SAFE), {"COMPLETED", "COMPENSATED", "FAILED"}),
        (Plan.of(step("a", undo=False), SAFE), {"COMPLETED", "COMPENSATED", "FAILED"}),
        (Plan.of(step("a", undo_in_doubt=True, undo_parks=True), wait("b", "a")), {"COMPLETED", "COMPENSATED"}),
        (Plan.of(sleep("a", timeout=Micros(1)), wait("b", "a")), {"COMPLETED"}),
    ],
    ids=["each undo takes no output", "one undo takes an output", "one has no undo", "a wait", "nothing that may fail"],
)
def test_an_explanation_and_an_exploration_agree(plan: Plan, ends: set[str]) -> None:
    """`explore` walks from the start; an explanation tells it of the plan and the state."""
    before = SagaState(plan=plan.id, rev=1, at=Moment(0), deadline=None)
    assert {end.value for end in prospects(plan, before).ends} == ends
    assert {rest.status.value for rest in ends_of(plan, budget=20_000).ends} == ends


def work_for(items: int) -> int:
    """How many functions are called to tell the prospects of a saga with so many items, each of which may be undone."""
    plan = Plan.of(step("a", concurrency=items, undo_parks=True), step("b", "a", undo_parks=True))
    done = (Succeeded(item_of(StepId("a"), number), 1) for number in range(items))
    state = SagaState(
        plan=plan.id, rev=1, at=Moment(0), steps=(FannedOut(StepId("a"), items, Digest(b"of a list")), *done)
    )
    calls = 0

    def count(_frame: object, event: str, _called: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        said = prospects(plan, state)
    finally:
        sys.setprofile(before)
    assert len(said.may_be_undone) == items + 1
    return calls


def test_the_prospects_of_twice_as_many_items_are_twice_the_work() -> None:
    """Each verb that is previewed is told with them: of 200 items there are a thousand."""
    assert work_for(200) < 3 * work_for(100)
