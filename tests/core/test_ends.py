"""The ends that a saga may come to by itself are those of the walk over everything, operators left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

import pytest
from msgspec.structs import replace

from saga_fn.core.effects import Transition
from saga_fn.core.events import (
    Accompanied,
    Binding,
    Bound,
    CompensationWaits,
    Event,
    FailureKind,
    MomentsMoved,
    Paused,
    PlanChanged,
    ProbeAnswered,
    SagaParked,
    Started,
    StepFailed,
    Ticked,
    WaitDefaulted,
    carries_inputs,
)
from saga_fn.core.explore import offers, walk
from saga_fn.core.explore.ends import Ends, Rest, ends_of, happenings, shortened, variants
from saga_fn.core.explore.shapes import SAME, cut_plan
from saga_fn.core.explore.story import told
from saga_fn.core.explore.view import view_of
from saga_fn.core.facts import due
from saga_fn.core.ids import Micros, Moment, PlanId, StepId
from saga_fn.core.invariants.asked import Asked
from saga_fn.core.leftovers import LeftOverKind, left_over
from saga_fn.core.plan import OnUnknown, Plan
from saga_fn.core.projection import SagaStatus, project
from saga_fn.core.state import (
    Attempts,
    FailedForGood,
    Parked,
    ParkReason,
    Probing,
    Retrying,
    Running,
    SagaState,
    Settled,
    StepState,
    Undoing,
    UndoParked,
    UndoWaiting,
    Unknown,
    is_executing,
)
from saga_fn.core.step_report import StepStatus, report_of
from saga_fn.core.transition import transition
from tests.core.given import DIAMOND, ONE, PIVOTED, SECOND, THREE, THRICE, TWO_ROOTS, A, sleep, step, wait

pytestmark = pytest.mark.timeout(600)  # many states, on a machine that may be busy

DAY = Micros(86400 * SECOND)

SHAPES = {
    "one": ONE,
    "three": THREE,
    "two roots": TWO_ROOTS,
    "diamond": DIAMOND,
    "pivot": PIVOTED,
    "no undo": Plan.of(step("a", undo=False), step("b", "a", undo=False)),
    "retries": Plan.of(step("a", retry=THRICE), step("b", "a", retry=THRICE)),
    "undo parks": Plan.of(step("a", undo_parks=True), step("b", "a")),
    "probe": Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PROBE)),
    "undo in doubt": Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.UNDO)),
    "park in doubt": Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PARK)),
    "doubt repeated": Plan.of(step("a"), step("b", "a", unknown_retry=THRICE)),
    "refusal settles": Plan.of(step("a", unknown_retry=THRICE, has_unknown_policies=True)),
    "condition": Plan.of(step("a"), step("b", "a", when=True), step("c", "b")),
    "fan-out": Plan.of(step("a"), step("b", "a", concurrency=2)),
    "fan-out, one after the other": Plan.of(step("a"), step("b", "a", concurrency=1)),
    "wait": Plan.of(step("a"), wait("w", "a"), step("b", "w")),
    "wait with a timeout": Plan.of(step("a"), wait("w", "a", timeout=DAY)),
    "wait with a default": Plan.of(step("a"), wait("w", "a", timeout=DAY, default=True)),
    "undo waits": Plan.of(step("a", undo_waits=("refunded",)), step("b", "a")),
    "sleep": Plan.of(step("a"), sleep("s", "a", timeout=DAY), step("b", "s")),
    "sleep until": Plan.of(step("a"), sleep("s", "a"), step("b", "s")),
    "transaction": Plan.of(
        step("a", transactional=True), step("b", "a", transactional=True, on_unknown=OnUnknown.PARK)
    ),
    "deadline": Plan.of(step("a"), step("b", "a"), deadline=DAY),
    "no way back": Plan.of(step("a"), step("b", "a"), compensate_on_failure=False),
    "siblings cut short": Plan.of(step("a"), step("b"), cancel_siblings=True),
}
"""Small plans of every kind."""

_NOT_BY_ITSELF = (*offers.OPERATOR_VERBS, MomentsMoved, Paused, PlanChanged)
_Told = tuple[SagaStatus, tuple[tuple[StepId, StepStatus], ...], tuple[tuple[StepId, LeftOverKind], ...]]


def _told(plan: Plan, state: SagaState) -> _Told:
    return (
        project(plan, state).status,
        tuple((each.step_id, each.status) for each in report_of(plan, state)),
        tuple((left.step_id, left.kind) for left in left_over(plan, state)),
    )


def _waits_for_a_person(plan: Plan, state: SagaState) -> bool:
    waits = {StepStatus.WAITING, StepStatus.COMPENSATION_WAITING}
    goes_on = due(plan, state) is not None or any(map(is_executing, state.steps))
    return not goes_on and waits.isdisjoint(each.status for each in report_of(plan, state))


def _found(ends: Ends) -> tuple[set[_Told], set[_Told]]:
    return (
        {(rest.status, rest.steps, rest.left_over) for rest in ends.ends},
        {(rest.status, rest.steps, rest.left_over) for rest in ends.stops},
    )


def _by_walking(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> tuple[set[_Told], set[_Told]]:
    """The ends and the stops among all states of the general walk, without operators, with each twin by its name."""

    def by_itself(
        plans: dict[PlanId, Plan], events: dict[PlanId, tuple[Event, ...]], state: SagaState, alike: frozenset[StepId]
    ) -> Iterator[tuple[Plan, SagaState, Event]]:
        for each, timed, event in offers.events_for(plans, events, state, alike):
            by_hand = timed.pause is not None or any(isinstance(step, Settled) for step in timed.steps)
            if by_hand or isinstance(event, _NOT_BY_ITSELF):
                continue
            if not isinstance(event, SagaParked) or any(map(is_executing, timed.steps)):
                yield each, timed, event

    def together(
        plan: Plan, state: SagaState | None, event: Event, tried: offers.Tried
    ) -> Iterator[tuple[Event, Transition]]:
        """The inputs of all steps that need one: no owner computes those of some only, and no definition changes on the way."""
        found = list(offers.variants(plan, state, event, tried))
        yield from found[:1]
        alone: dict[StepId, dict[Binding, None]] = {}
        for variant, _ in found[1:]:
            assert carries_inputs(variant)
            for each in variant.inputs:
                if not isinstance(each, Bound) or each.digest == SAME:
                    alone.setdefault(each.step, {})[each] = None
        for inputs in product(*alone.values()) if alone else ():
            variant = replace(event, inputs=inputs)
            yield variant, transition(plan, state, variant).unwrap()

    def none(_: Plan) -> tuple[tuple[StepId, ...], ...]:
        return ()

    monkeypatch.setattr(walk, "events_for", by_itself)
    monkeypatch.setattr(walk, "variants", together)
    monkeypatch.setattr(walk, "interchangeable", none)
    monkeypatch.setattr(walk, "ASKED", Asked(()))  # violations are looked at elsewhere
    monkeypatch.setattr(walk, "STATE_LAWS", ())
    cut = cut_plan(plan)
    walked = walk.Walk([cut], 200_000, 0)
    walked.run()
    assert not walked.bounded
    ends = {_told(cut, state) for state in walked.states if state.ended}
    stops = {_told(cut, state) for state in walked.states if not state.ended and _waits_for_a_person(cut, state)}
    return ends, stops


@pytest.mark.parametrize("plan", SHAPES.values(), ids=SHAPES)
def test_the_ends_by_itself_are_those_of_the_walk_over_everything(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ends_of(plan, budget=100_000)
    assert not found.bounded
    ends, stops = _found(found)
    all_ends, all_stops = _by_walking(plan, monkeypatch)
    assert ends == all_ends
    assert stops == all_stops


def test_a_walk_that_comes_to_its_bound_says_so() -> None:
    found = ends_of(THREE, budget=3)
    assert (found.states, found.bounded) == (3, True)


def test_many_steps_at_once_get_their_inputs_one_by_one() -> None:
    many = Plan.of(*(step(name) for name in "abcdefghi"))
    found = ends_of(many, budget=40)
    assert found.bounded
    assert {rest.status for rest in found.stops} <= {SagaStatus.SUSPENDED}


SAME_KIND = {
    "items at once": Plan.of(step("a", concurrency=2), step("b", "a")),
    "items in turn": Plan.of(step("a", concurrency=1), step("b", "a")),
    "items with probes": Plan.of(step("a", concurrency=2, on_unknown=OnUnknown.PROBE)),
    "items by a deadline": Plan.of(step("a", concurrency=2), deadline=DAY),
    "a probe by a deadline": Plan.of(step("a", on_unknown=OnUnknown.PROBE), deadline=DAY),
    "a wait by a deadline": Plan.of(step("a"), wait("w", "a", timeout=Micros(DAY // 2)), deadline=DAY),
    "equal branches": Plan.of(step("a"), step("b", "a"), step("c", "a"), step("d", "a")),
}


_Reasons = tuple[tuple[StepId, ParkReason], ...]


def _reasons(state: SagaState) -> _Reasons:
    return tuple((each.step, each.why) for each in state.steps if isinstance(each, Parked | UndoParked))


def _replayed(plan: Plan, rest: Rest) -> list[SagaState]:
    """Where the core comes to, if that happens that is told, and nothing else that turns the saga back or ends a step."""

    def silent(before: SagaState, after: SagaState) -> bool:
        was = {each.step: type(each) for each in before.steps}
        ended = {
            each.step
            for each in after.steps
            if isinstance(each, FailedForGood | Parked) and type(each) is not was.get(each.step)
        }
        return after.goal is before.goal and not ended

    def moves(state: SagaState | None) -> Iterator[tuple[str, SagaState]]:
        """The state as it really is goes on: nothing is left out of it."""
        offered = [(None, Started(Moment(0), plan.id))] if state is None else happenings(plan, state)
        for timed, event in offered:
            for variant, moved in variants(plan, timed, event):
                yield told(state, variant, moved.state), moved.state

    def by_view(states: Iterable[SagaState]) -> dict[tuple[SagaState, _Reasons], SagaState]:
        return {(view_of(plan, state, ()), _reasons(state)): state for state in states}

    here: dict[tuple[SagaState, _Reasons], SagaState] = {}
    for place, sentence in enumerate(rest.story):
        sources: list[SagaState | None] = [None] if not place else [*here.values()]
        here = by_view(after for each in sources for said, after in moves(each) if said == sentence)
        new = [*here.values()]
        while new:
            found = by_view(after for each in new for said, after in moves(each) if not said and silent(each, after))
            new = [state for view, state in found.items() if view not in here]
            here = {**found, **here}
    return [*here.values()]


@pytest.mark.parametrize("plan", [*SHAPES.values(), *SAME_KIND.values()], ids=[*SHAPES, *SAME_KIND])
def test_the_core_goes_each_way_that_is_told_to_the_very_end_of_it(plan: Plan) -> None:
    cut = shortened(plan)
    found = ends_of(plan, budget=100_000)
    assert not found.bounded
    for rest in (*found.ends, *found.stops):
        reached = {(*_told(cut, state), () if state.ended else _reasons(state)) for state in _replayed(cut, rest)}
        assert (rest.status, rest.steps, rest.left_over, rest.parked) in reached, rest


TOLD: list[tuple[Plan, str]] = [
    (SHAPES["three"], "c succeeds"),
    (SHAPES["retries"], "b fails for good"),
    (SHAPES["probe"], "the probe of b does not find out"),
    (SHAPES["undo in doubt"], "b is undone"),
    (SHAPES["undo parks"], "the compensation of a fails for good"),
    (SHAPES["condition"], "b is not taken"),
    (SHAPES["fan-out"], "b has 1 item"),
    (SHAPES["wait with a timeout"], "w is over without an event"),
    (SHAPES["sleep"], "s is over"),
    (SHAPES["deadline"], "the deadline is over"),
    (SHAPES["transaction"], "a conflicts with other transactions too often"),
    (SHAPES["two roots"], "each process that runs it dies"),
]


@pytest.mark.parametrize("plan, sentence", TOLD, ids=[sentence for _, sentence in TOLD])
def test_a_way_is_told_in_sentences(plan: Plan, sentence: str) -> None:
    found = ends_of(plan, budget=100_000)
    assert sentence in {
        each for rest in (*found.ends, *found.stops) for story in rest.story for each in story.split("; ")
    }


AT = Moment(1)


@pytest.mark.parametrize(
    "before, event, after, sentence",
    [
        (
            Probing(A, Attempts()),
            ProbeAnswered(AT, A, 1, done=False),
            Retrying(A, Attempts(), AT),
            "the probe of a finds that it has not run",
        ),
        (Unknown(A, Attempts()), Ticked(AT), Running(A, Attempts()), "a is tried again"),
        (
            UndoWaiting(A, 1, Attempts(), ("refunded",)),
            Ticked(AT),
            Undoing(A, 1, Attempts()),
            "the compensation of a has waited long enough",
        ),
        (
            Running(A, Attempts(), transactional=True),
            StepFailed(AT, A, 1, FailureKind.INTERRUPTED),
            Running(A, Attempts(), transactional=True),
            "a is cut short, and has not run",
        ),
        (Running(A, Attempts()), WaitDefaulted(AT, A), Running(A, Attempts()), "a ends with its default"),
        (
            Undoing(A, 1, Attempts()),
            CompensationWaits(AT, A, 1, ("refunded",)),
            UndoWaiting(A, 1, Attempts(), ("refunded",)),
            "the compensation of a waits for refunded",
        ),
        (Running(A, Attempts()), Accompanied(AT), Running(A, Attempts()), "accompanied"),
        (Running(A, Attempts()), Ticked(AT), Running(A, Attempts()), ""),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_each_thing_that_happens_has_its_sentence(
    before: StepState, event: Event, after: StepState, sentence: str
) -> None:
    first = SagaState(0, AT, plan=ONE.id, steps=(before,))
    assert told(first, event, SagaState(1, AT, plan=ONE.id, steps=(after,))) == sentence
