"""The straight way in short: the same answers as the general rules give, and none where it does not know."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from saga_fn.core.ahead import go_ahead
from saga_fn.core.chain import after_success, begin
from saga_fn.core.effects import Release
from saga_fn.core.events import (
    Binding,
    Bound,
    Event,
    EventReceived,
    HandedBack,
    Resumed,
    Started,
    StepSucceeded,
    Unbindable,
)
from saga_fn.core.ids import AT_ONCE, Digest, Micros, Moment, StepId
from saga_fn.core.plan import Plan
from saga_fn.core.projection import at_length, project
from saga_fn.core.state import SagaState
from saga_fn.core.transition import by_general_rules, transition
from tests.core.given import DIAMOND, ONE, THREE, TWO_ROOTS, A, B, C, sequence

INPUTS: tuple[tuple[Binding, ...], ...] = (
    (),
    (Bound(A, Digest(b"1")),),
    (Bound(B, Digest(b"2")),),
    (Bound(C, Digest(b"3")),),
    (Unbindable(B),),
    (Bound(B, Digest(b"2")), Bound(C, Digest(b"3"))),
    (Bound(C, Digest(b"3")), Bound(B, Digest(b"2"))),
)
EVENTS: tuple[Event, ...] = (
    *(Started(Moment(5), THREE.id, inputs, delay) for inputs in INPUTS for delay in (AT_ONCE, Micros(4), Micros(-4))),
    *(
        StepSucceeded(Moment(at), step, attempt, inputs)
        for at, step, attempt, inputs in itertools.product((0, 9), (A, B, C, StepId("z")), (1, 2), INPUTS)
    ),
    EventReceived(Moment(6)),
    Resumed(Moment(7)),
    Resumed(Moment(7), takeover=True, isolated=True, inputs=INPUTS[1]),
)


def states_of(plan: Plan) -> list[SagaState | None]:
    """Every state that any of the events lead to, one after another."""
    found: dict[bytes, SagaState | None] = {b"": None}
    waiting: list[SagaState | None] = [None]
    while waiting:
        state = waiting.pop()
        if state is not None and state.rev > len(plan.steps) + 2:
            continue
        for event in EVENTS:
            told = msgspec.structs.replace(event, plan=plan.id) if isinstance(event, Started) else event
            moved = by_general_rules(plan, state, told).value_or(None)
            if moved is not None and found.setdefault(msgspec.msgpack.encode(moved.state), moved.state) is moved.state:
                waiting.append(moved.state)
    return list(found.values())


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
@pytest.mark.parametrize("plan", [ONE, THREE, TWO_ROOTS], ids=["one", "three", "two roots"])
def test_every_answer_is_what_the_general_rules_answer(plan: Plan) -> None:
    for state, event in itertools.product(states_of(plan), EVENTS):
        told = msgspec.structs.replace(event, plan=plan.id) if isinstance(event, Started) else event
        assert transition(plan, state, told) == by_general_rules(plan, state, told), (state, told)


def test_it_answers_all_the_way_of_a_chain() -> None:
    isolated = begin(THREE, Started(Moment(0), THREE.id))
    assert isolated is not None
    assert isolated.needs == (A,)
    begun = begin(THREE, Started(Moment(0), THREE.id, INPUTS[1]))
    assert begun is not None
    state = begun.state
    for step, inputs, following in ((A, INPUTS[2], (B,)), (B, INPUTS[3], (C,)), (C, (), ())):
        told = StepSucceeded(Moment(1), step, 1, inputs)
        ahead = after_success(THREE, state, told)
        assert ahead is not None
        assert ahead.needs == following
        moved = go_ahead(THREE, told, ahead)
        assert moved is not None
        state = moved.state
    assert state.ended


@pytest.mark.parametrize("inputs", INPUTS[:2])
def test_a_start_that_is_delayed_needs_nothing_before_its_moment(inputs: tuple[Binding, ...]) -> None:
    started = Started(Moment(3), THREE.id, inputs, Micros(5))
    moved = begin(THREE, started)
    assert moved is not None
    assert moved == by_general_rules(THREE, None, started).unwrap()
    assert (moved.needs, moved.writes) == ((), (Release(Moment(8)),))
    assert project(THREE, moved.state) == at_length(THREE, moved.state)


def test_it_does_not_know_what_is_not_a_chain() -> None:
    assert begin(TWO_ROOTS, Started(Moment(0), TWO_ROOTS.id, INPUTS[1])) is None
    state = by_general_rules(DIAMOND, None, Started(Moment(0), DIAMOND.id, INPUTS[1])).unwrap().state
    assert after_success(DIAMOND, state, StepSucceeded(Moment(1), A, 1, INPUTS[5])) is None


def test_it_knows_nothing_but_the_success_of_what_runs() -> None:
    started = begin(THREE, Started(Moment(0), THREE.id))
    begun = begin(THREE, Started(Moment(0), THREE.id, INPUTS[1]))
    assert started is not None
    assert begun is not None
    lost = by_general_rules(THREE, begun.state, HandedBack(Moment(0))).unwrap().state
    for plan, state, name in (
        (THREE, started.state, A),
        (THREE, lost, A),
        (THREE, begun.state, B),
        (sequence("abd"), begun.state, A),
    ):
        assert after_success(plan, state, StepSucceeded(Moment(1), name, 1, INPUTS[2])) is None
    assert after_success(THREE, begun.state, StepSucceeded(Moment(1), A, 2, INPUTS[2])) is None


def test_it_leaves_what_an_earlier_plan_left_to_the_general_rules() -> None:
    begun = begin(THREE, Started(Moment(0), THREE.id, INPUTS[1]))
    assert begun is not None
    told = StepSucceeded(Moment(1), A, 1, INPUTS[2])
    timed = msgspec.structs.replace(begun.state, deadline=Moment(9))
    assert after_success(THREE, timed, told) is None
    assert transition(THREE, timed, told) == by_general_rules(THREE, timed, told)
