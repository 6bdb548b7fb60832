"""Random plans told random stories: no exception, no broken promise, and the journal gives the state again."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success

from saga_fn.core.effects import Transition
from saga_fn.core.events import (
    Bound,
    BoundEach,
    CompensationFailed,
    CompensationSucceeded,
    CompensationWaits,
    Event,
    ProbeAnswered,
    ProbeFailed,
    Started,
    StepFailed,
    StepSucceeded,
    Unbindable,
    Until,
    carries_inputs,
)
from saga_fn.core.explore import explore
from saga_fn.core.explore.shapes import BEFORE, NOW, TOO_LATE, cut_schedule
from saga_fn.core.facts import find
from saga_fn.core.ids import Digest, Micros, Moment, PlanId, StepId
from saga_fn.core.invariants import EDGE_LAWS, STATE_LAWS, Edge
from saga_fn.core.plan import Plan, PlannedStep, StepKind
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import Probing, Running, SagaState, Succeeded, Undoing, execution_of
from saga_fn.core.transition import by_general_rules, transition
from tests.core.given import A
from tests.core.strategies import draws, events, plans, schedules

ABOUT_AN_EXECUTION = (
    StepSucceeded,
    StepFailed,
    CompensationSucceeded,
    CompensationFailed,
    CompensationWaits,
    ProbeAnswered,
    ProbeFailed,
)
pytestmark = pytest.mark.exhaustive

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
quick = settings(deadline=None, suppress_health_check=SLOW)


def aimed(state: SagaState | None, event: Event) -> Event:
    """The event with its attempt number mended to the execution that runs, so that walks get somewhere."""
    if state is None or not isinstance(event, ABOUT_AN_EXECUTION):
        return event
    running = [step for step in state.steps if isinstance(step, Running | Undoing | Probing)]
    if not running or event.attempt < 0:
        return event
    chosen = find(state, event.step)
    if not isinstance(chosen, Running | Undoing | Probing):
        chosen = running[0]
    return msgspec.structs.replace(event, step=chosen.step, attempt=execution_of(chosen))


def fold(plan: Plan, state: SagaState | None, event: Event, journal: list[Event]) -> SagaState | None:
    """Fold one event and check every promise; a refused event changes nothing."""
    assert transition(plan, state, event) == by_general_rules(plan, state, event), "in short as at length"
    match transition(plan, state, event):
        case Failure():
            return state
        case Success(moved):
            if carries_inputs(event) and not event.inputs:
                check(plan, state, event, moved)
                inputs = tuple(binding(plan, moved.state, step) for step in moved.needs)
                event = msgspec.structs.replace(event, inputs=inputs)
                assert transition(plan, state, event) == by_general_rules(plan, state, event), "in short as at length"
                moved = transition(plan, state, event).unwrap()
            check(plan, state, event, moved)
            journal.append(event)
            return moved.state


def binding(plan: Plan, state: SagaState, step: StepId) -> Bound | BoundEach | Until:
    if step in plan.concurrencies:
        return BoundEach(step, state.rev % 3, Digest(b"1"))
    if plan.step(step).kind is StepKind.SLEEP:
        return Until(step, Moment(state.at + 5))
    return Bound(step, Digest(b"1"))


def check(plan: Plan, state: SagaState | None, event: Event, moved: Transition) -> None:
    for of_states in STATE_LAWS:
        assert of_states(plan, moved.state), of_states.__name__
    if state is not None:
        edge = Edge.of(plan, state, event, moved)
        for of_edges in EDGE_LAWS:
            assert of_edges(edge), of_edges.__name__


@quick
@given(st.data(), plans())
def test_no_story_raises_or_breaks_a_promise(data: st.DataObject, plan: Plan) -> None:
    state: SagaState | None = None
    journal: list[Event] = []
    state = fold(plan, state, Started(Moment(0), plan.id), journal)
    for event in data.draw(st.lists(events(st.sampled_from([plan.id, PlanId("other")])), max_size=40)):
        state = fold(plan, state, aimed(state, event), journal)
    folded: SagaState | None = None
    for event in journal:
        folded = transition(plan, folded, event).unwrap().state
    assert folded == state
    if state is not None:  # each outside event is in one place at most: with the wait that took it, or in the buffer
        waits = {planned.step for planned in plan.steps if planned.kind is StepKind.EVENT}
        taken = [done.seq for done in state.steps if isinstance(done, Succeeded) and done.step in waits]
        places = [*taken, *(event.seq for event in state.buffered), *state.events]
        assert len(set(places)) == len(places)


@quick
@given(schedules, st.lists(draws, max_size=6), st.integers(0, 60))
def test_cut_and_real_policies_agree(real: RetrySchedule, drawn: list[float], spent: int) -> None:
    """Whatever a real policy answers, its cut has a run that answers the same: wait, at once, or no more."""
    cut = cut_schedule(real)
    for failures, jitter_draw in enumerate(drawn, start=1):
        delay = real.delay_after(failures, jitter_draw=jitter_draw, spent=Micros(spent))
        # The cut's first, middle and last attempt stand for the real one's.
        stands_for = failures if failures < cut.attempts else (cut.attempts if delay is None else cut.attempts - 1)
        answers = {
            answer(cut.delay_after(stands_for, jitter_draw=jitter_draw, spent=Micros(at - BEFORE)))
            for at, jitter_draw in itertools.product((NOW, TOO_LATE), (0.0, 0.75) if cut.jitter else (0.0,))
        }
        assert answer(delay) in answers


def answer(delay: int | None) -> str:
    return "no more" if delay is None else "wait" if delay else "at once"


@settings(deadline=None, max_examples=15, suppress_health_check=SLOW)
@given(schedules, schedules)
def test_a_real_policy_leads_to_the_ends_that_its_cut_does(retry: RetrySchedule, undo_retry: RetrySchedule) -> None:
    plan = Plan.of(PlannedStep(A, (), retry, True, undo_retry))
    found = explore(plan)
    assert not found.bounded
    assert found.violations == ()
    unbindable = Started(Moment(0), plan.id, (Unbindable(A),))
    assert isinstance(transition(plan, None, unbindable), Success)
