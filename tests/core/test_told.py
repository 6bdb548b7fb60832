"""The events that a walk does not tell to a state: one look refuses them, whatever they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure

from saga_fn.core.effects import Decision, Refusal
from saga_fn.core.event_kinds import is_result
from saga_fn.core.events import Event, Started, takes_up
from saga_fn.core.explore import explore, offers, walk
from saga_fn.core.explore.offers import events_for, events_of, variants
from saga_fn.core.explore.shapes import NOW, cut_plan
from saga_fn.core.explore.told import Told
from saga_fn.core.facts import is_executed
from saga_fn.core.ids import Micros
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.state import Attempts, Goal, Running, SagaState, Succeeded
from saga_fn.core.transition import transition
from tests.core.conftest import Everything
from tests.core.given import AT_ONCE, ONE, PIVOTED, SECOND, TWO_ROOTS, A, B, sequence, step, wait
from tests.core.strategies import plans

SHAPES = {
    "one step, retried": sequence("a", retry=AT_ONCE),
    "a conditional step": Plan.of(step("a", when=True)),
    "two roots": Plan.of(step("a"), step("b", undo=False)),
    "a wait, then a step": Plan.of(wait("a", timeout=Micros(SECOND)), step("b", "a", undo_waits=("paid",))),
    "a step that is found out": Plan.of(step("a", on_unknown=OnUnknown.PROBE)),
    "a step in a transaction": Plan.of(step("a", retry=AT_ONCE, transactional=True)),
    "a fan-out": Plan.of(step("a", concurrency=1, undo=False)),
    "a pivot in the middle": PIVOTED,
}


def refused_at_once(state: SagaState, event: Event) -> Refusal | None:
    """How one look at the state refuses the event; None if it takes more to answer it."""
    if state.ended and not takes_up(event):
        return Refusal.ALREADY_STARTED if type(event) is Started else Refusal.FINISHED
    return Refusal.LATE if is_result(event) and not state.ended and not is_executed(state, event.step) else None


def assert_refused_at_once(plan: Plan, state: SagaState, event: Event) -> bool:
    refusal = refused_at_once(state, event)
    if refusal is not None:
        decision = transition(plan, state, event)
        assert isinstance(decision, Failure)
        assert decision.failure().refusal is refusal
    return refusal is not None


@pytest.mark.parametrize("shape", SHAPES)
def test_a_walk_that_tells_all_events_comes_to_the_same(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = explore(SHAPES[shape], budget=100)
    refused: list[Event] = []

    def judged(plan: Plan, state: SagaState | None, event: Event) -> Decision:
        if state is not None and assert_refused_at_once(plan, state, event):
            refused.append(event)
        return transition(plan, state, event)

    monkeypatch.setattr(walk, "Told", Everything)
    monkeypatch.setattr(offers, "transition", judged)
    whole = explore(SHAPES[shape], budget=100)
    assert whole == found
    assert [end.story for end in whole.ends] == [end.story for end in found.ends]
    assert len(refused) > 1_000


@pytest.mark.exhaustive
@given(st.data(), plans())
def test_of_any_saga_they_are_refused_at_once(data: st.DataObject, plan: Plan) -> None:
    plan = cut_plan(plan)
    told = events_of(plan)
    state = transition(plan, None, Started(NOW, plan.id)).unwrap().state
    for _ in range(data.draw(st.integers(0, 8))):
        accepted = [
            moved.state
            for by, timed, event in events_for({plan.id: plan}, {plan.id: told}, state)
            for _, moved in variants(by, timed, event, set())
        ]
        if not accepted:
            break
        state = data.draw(st.sampled_from(accepted))
        for event in told:
            assert_refused_at_once(plan, state, event)


def test_each_state_is_told_one_of_each_kind_and_step_and_another_the_next_time() -> None:
    told = Told(events_of(TWO_ROOTS))
    running = SagaState(2, NOW, steps=(Running(A, Attempts(1)), Succeeded(B, 2)), plan=TWO_ROOTS.id)
    at = [told.at(running, turn) for turn in range(60)]
    assert {*told.events} == {event for events in at for event in events}
    for events in at:
        assert {*told.events} - {*events} <= {event for event in told.events if refused_at_once(running, event)}
        late = [(type(event), event.step) for event in events if is_result(event) and event.step != A]
        assert len({*late}) == len(late) == 8  # of two steps, a success and a failure each, of it and of its undo


def test_an_ended_saga_is_told_all_that_may_take_it_up() -> None:
    told = Told(events_of(ONE))
    events = told.at(SagaState(2, NOW, Goal.FAILED, (Succeeded(A, 2),), plan=ONE.id), turn=3)
    assert {event for event in told.events if takes_up(event)} < {*events}
    assert {type(event) for event in events} == {type(event) for event in told.events}
