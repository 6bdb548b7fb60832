"""Every reachable state of many plan shapes, all promises checked in each state and on each edge."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace
from returns.result import Failure, Success

from saga_fn.core import transition as deciding
from saga_fn.core.effects import Decision, Refusal, Rejection
from saga_fn.core.events import AbortRequested, Event, Resumed, StepSkipped, StepSucceeded, carries_inputs
from saga_fn.core.explore import Outcome, explore, offers, walk
from saga_fn.core.foresight import foresee
from saga_fn.core.ids import Micros
from saga_fn.core.inputs import NO_OUTPUT, outputs_at, outputs_gained
from saga_fn.core.invariants import ASKED, STATE_LAWS, Edge
from saga_fn.core.invariants.asked import Asked
from saga_fn.core.leftovers import LeftOverKind
from saga_fn.core.plan import OnUnknown, Plan, PlannedStep
from saga_fn.core.projection import SagaStatus, at_length, project
from saga_fn.core.retry import RetrySchedule
from saga_fn.core.state import Goal, SagaState, is_done
from saga_fn.core.transition import by_general_rules, transition
from tests.core.given import (
    AT_ONCE,
    DIAMOND,
    ONE,
    PIVOTED,
    SECOND,
    THREE,
    THRICE,
    TWO_ROOTS,
    A,
    B,
    C,
    sequence,
    sleep,
    step,
    wait,
)
from tests.core.prospected import adds_nothing_to_its_prospects, has_what_is_so_among_its_prospects

pytestmark = pytest.mark.timeout(600)  # many states, on a machine that may be busy

SHRINKING = RetrySchedule(attempts=3, base=Micros(1), jitter=1.0)
BUDGET = RetrySchedule(attempts=3, base=Micros(SECOND), within=Micros(10 * SECOND))
FOREVER = RetrySchedule(attempts=1 << 40, base=Micros(SECOND), multiplier=2.0)


def pivot(name: str, *after: str) -> PlannedStep:
    return step(name, *after, undo=False, pivot=True)


def undo_free(name: str, *after: str, when: bool = False) -> PlannedStep:
    return step(name, *after, undo=False, when=when)


@pytest.fixture(autouse=True)
def foreseen(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Let every answer that is given in short be compared with that of the general rules, and what is shown with it.

    And so be what is foreseen of an event, if any: with what comes of it. Gives the events of which it was foreseen.
    """
    asked = False
    foreseen: list[Event] = []

    def general(plan: Plan, state: SagaState | None, event: Event) -> Decision:
        nonlocal asked
        asked = True
        return by_general_rules(plan, state, event)

    def compared(plan: Plan, state: SagaState | None, event: Event) -> Decision:
        nonlocal asked
        asked = False
        decision = transition(plan, state, event)
        if not asked:
            assert decision == by_general_rules(plan, state, event)
        if state is None or not carries_inputs(event) or (ahead := foresee(plan, state, event)) is None:
            return decision
        if type(event) is StepSucceeded:  # an owner that has foreseen it hands over what it saw
            assert transition(plan, state, event, ahead) == decision
        # Foresight reads no inputs, and each event is asked about without any before it carries some.
        if ahead.needs and not event.inputs and isinstance(decision, Success):
            foreseen.append(event)
            unbound = decision.unwrap()
            assert ahead.needs == unbound.needs
            assert _known(ahead.known) == _known(unbound.state)
        return decision

    def shown_as_at_length(plan: Plan, state: SagaState) -> bool:
        return project(plan, state) == at_length(plan, state)

    monkeypatch.setattr(deciding, "by_general_rules", general)
    monkeypatch.setattr(offers, "transition", compared)
    monkeypatch.setattr(walk, "STATE_LAWS", (*STATE_LAWS, shown_as_at_length, has_what_is_so_among_its_prospects))
    monkeypatch.setattr(walk, "ASKED", ASKED.also(adds_nothing_to_its_prospects))
    return foreseen


@pytest.fixture
def unjudged(foreseen: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no law, where a test looks at no violation: that is more than a third of a walk."""
    monkeypatch.setattr(walk, "ASKED", Asked(()))
    monkeypatch.setattr(walk, "STATE_LAWS", ())


EXHAUSTIVE = {
    "one step": ONE,
    "one step without compensation": sequence("a", undo=""),
    "one step, retried": sequence("a", retry=THRICE),
    "one step, retried at once": sequence("a", retry=AT_ONCE),
    "one step, retried at once or later": sequence("a", retry=SHRINKING),
    "one step, retried for ever": sequence("a", retry=FOREVER),
    "three in sequence": THREE,
    "three without compensation": sequence("abc", undo=""),
    "three, the middle without compensation": sequence("abc", undo="ac"),
    "three, retried": sequence("abc", retry=THRICE),
    "three, halting on failure": Plan.of(step("a"), step("b", "a"), step("c", "b"), compensate_on_failure=False),
    "two roots that join": TWO_ROOTS,
    "two roots, halting on failure": Plan.of(step("a"), step("b"), compensate_on_failure=False),
    "diamond": DIAMOND,
    "two, whose undo a person sees to in the end": Plan.of(
        step("a", undo_retry=THRICE, undo_parks=True), step("b", "a", undo_parks=True)
    ),
    "two, within a time": Plan.of(
        step("a", retry=BUDGET, undo_retry=BUDGET),
        step("b", "a", retry=RetrySchedule(attempts=3, within=Micros(SECOND))),
    ),
    "one that is found out": Plan.of(step("a", retry=THRICE, on_unknown=OnUnknown.PROBE, probe_retry=THRICE)),
    "one that is found out, within a time": Plan.of(step("a", on_unknown=OnUnknown.PROBE, probe_retry=BUDGET)),
    "two, the second found out": Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PROBE, probe_retry=AT_ONCE)),
    "two, undone if they may have run": Plan.of(
        step("a", on_unknown=OnUnknown.UNDO), step("b", "a", retry=THRICE, on_unknown=OnUnknown.UNDO)
    ),
    "one that is repeated": Plan.of(step("a", unknown_retry=THRICE)),
    "one that is repeated, within a time": Plan.of(
        step("a", retry=AT_ONCE, unknown_retry=BUDGET, has_unknown_policies=True)
    ),
    "one that is repeated, then undone": Plan.of(
        step("a", retry=THRICE, unknown_retry=AT_ONCE, undo_in_doubt=True), undo_free("b", "a")
    ),
    "one without a policy that is to be tried again later": Plan.of(
        step("a", unknown_retry=THRICE, own_retry=False, on_unknown=OnUnknown.PROBE)
    ),
    "two, found out or undone": Plan.of(
        step("a"), step("b", "a", on_unknown=OnUnknown.PROBE, probe_retry=AT_ONCE, undo_in_doubt=True)
    ),
    "two at once, repeated and left to a person": Plan.of(
        step("a", unknown_retry=RetrySchedule(2), undo_in_doubt=True),
        step("b", on_unknown=OnUnknown.PARK, undo_in_doubt=True),
    ),
    "two at once, found out and left to a person, cut short": Plan.of(
        step("a", on_unknown=OnUnknown.PROBE), step("b", on_unknown=OnUnknown.PARK), cancel_siblings=True
    ),
    "two at once, left to a person, halting": Plan.of(
        step("a", on_unknown=OnUnknown.PARK), step("b"), compensate_on_failure=False
    ),
    "one left to a person beside a wait": Plan.of(
        step("a", on_unknown=OnUnknown.PARK), wait("b", timeout=Micros(SECOND))
    ),
    "a pivot that is repeated": Plan.of(
        step("a"), step("b", "a", undo=False, pivot=True, unknown_retry=THRICE, has_unknown_policies=True)
    ),
    "two, left to a person": Plan.of(step("a", on_unknown=OnUnknown.PARK), step("b", "a", on_unknown=OnUnknown.PARK)),
    "two at once, found out and undone": Plan.of(
        step("a", on_unknown=OnUnknown.PROBE), step("b", on_unknown=OnUnknown.UNDO)
    ),
    "two at once, found out and undone, cut short": Plan.of(
        step("a", on_unknown=OnUnknown.PROBE), step("b", on_unknown=OnUnknown.UNDO), cancel_siblings=True
    ),
    "two at once, found out and undone, halting": Plan.of(
        step("a", on_unknown=OnUnknown.PROBE), step("b", on_unknown=OnUnknown.UNDO), compensate_on_failure=False
    ),
    "one in a transaction": Plan.of(step("a", retry=AT_ONCE, transactional=True, unknown_retry=THRICE)),
    "two at once in transactions, cut short": Plan.of(
        step("a", transactional=True, on_unknown=OnUnknown.PARK),
        step("b", transactional=True, on_unknown=OnUnknown.PARK),
        cancel_siblings=True,
    ),
    "a pivot in a transaction": Plan.of(
        step("a"), step("b", "a", undo=False, pivot=True, transactional=True, on_unknown=OnUnknown.PARK)
    ),
    "a pivot that is found out": Plan.of(
        step("a"),
        step("b", "a", undo=False, pivot=True, on_unknown=OnUnknown.PROBE, probe_retry=THRICE),
        step("c", "b", undo=False, on_unknown=OnUnknown.PROBE),
    ),
    "a pivot that is left to a person, with a deadline": Plan.of(
        step("a"), step("b", "a", undo=False, pivot=True, on_unknown=OnUnknown.PARK), deadline=Micros(SECOND)
    ),
    "a pivot alone": Plan.of(step("a", undo=False, pivot=True)),
    "a pivot in the middle": PIVOTED,
    "a pivot in the middle, retried": Plan.of(
        step("a", retry=THRICE, undo_retry=THRICE),
        step("b", "a", undo=False, pivot=True, retry=THRICE),
        step("c", "b", undo=False, retry=THRICE),
    ),
    "two that join in a pivot": Plan.of(step("a"), step("b"), step("c", "a", "b", undo=False, pivot=True)),
    "two that join in a pivot, cut short": Plan.of(
        step("a"), step("b"), step("c", "a", "b", undo=False, pivot=True), cancel_siblings=True
    ),
    "a pivot that may not be taken": Plan.of(
        step("a"), replace(step("b", "a", undo=False, pivot=True), conditional=True), step("c", "b", undo=False)
    ),
    "a pivot, halting on failure": Plan.of(
        step("a"), step("b", "a", undo=False, pivot=True), step("c", "b", undo=False), compensate_on_failure=False
    ),
    "a fan-out": Plan.of(step("a", concurrency=2)),
    "a fan-out, one at a time": Plan.of(step("a", concurrency=1)),
    "a fan-out, conditional": Plan.of(step("a", concurrency=2, when=True)),
    "a fan-out without compensation, retried": Plan.of(
        step("a", concurrency=1, retry=RetrySchedule(2, base=Micros(1)), undo=False)
    ),
    "a fan-out, cut short": Plan.of(step("a", concurrency=2), cancel_siblings=True),
    "a fan-out, halting on failure": Plan.of(step("a", concurrency=2), compensate_on_failure=False),
    "a fan-out and what follows it": Plan.of(step("a", concurrency=2), step("b", "a", undo=False)),
    "a fan-out and what it follows": Plan.of(step("a"), step("b", "a", concurrency=1)),
    "a fan-out that finds out what may have run": Plan.of(
        step("a", concurrency=1, undo=False, on_unknown=OnUnknown.PROBE),
    ),
    "a fan-out that undoes what may have run": Plan.of(step("a", concurrency=2, on_unknown=OnUnknown.UNDO)),
    "a conditional pivot": Plan.of(
        step("a"), step("b", "a", undo=False, pivot=True, when=True), step("c", "b", undo=False)
    ),
    "one step, conditional": Plan.of(step("a", when=True)),
    "one step, conditional and retried": Plan.of(step("a", retry=THRICE, when=True)),
    "three, the middle conditional": Plan.of(step("a"), step("b", "a", when=True), step("c", "b")),
    "three, all conditional": Plan.of(step("a", when=True), step("b", "a", when=True), step("c", "b", when=True)),
    "two roots, one conditional": Plan.of(step("a", when=True), step("b"), step("c", "a", "b", undo=False)),
    "a wait past the pivot": Plan.of(undo_free("a"), pivot("b", "a"), wait("c", "b", timeout=Micros(SECOND))),
    "a deadline and a pivot": Plan.of(step("a"), pivot("b", "a"), deadline=Micros(SECOND)),
    "a wait after a condition": Plan.of(undo_free("a", when=True), wait("b", "a"), undo_free("c", "b", when=True)),
    "a compensation that waits": Plan.of(step("a", undo_waits=("paid",))),
    "a compensation that waits, retried": Plan.of(
        step("a", undo_waits=("paid",), undo_retry=THRICE), undo_free("b", "a")
    ),
    "a wait": Plan.of(wait("a")),
    "a wait with a limit": Plan.of(step("a"), wait("b", "a", timeout=Micros(SECOND))),
    "a wait with a default": Plan.of(wait("a", timeout=Micros(SECOND), default=True), step("b", "a")),
    "two waits for one event": Plan.of(wait("a"), wait("b", timeout=Micros(SECOND))),
    "a wait for any of two": Plan.of(wait("a", names=("paid", "sent"))),
    "a wait about something, alone": Plan.of(wait("a", correlated=True)),
    "two without compensation at once": Plan.of(undo_free("a"), undo_free("b")),
    "a wait about something": Plan.of(wait("a", correlated=True, timeout=Micros(SECOND)), undo_free("b", "a")),
    "a sleep": Plan.of(step("a"), sleep("b", "a", timeout=Micros(SECOND))),
    "a sleep until a moment": Plan.of(undo_free("a"), sleep("b", "a")),
    "a deadline": Plan.of(step("a"), undo_free("b", "a"), deadline=Micros(SECOND)),
    "a deadline and a wait, halting": Plan.of(
        undo_free("a"), wait("b", "a", timeout=Micros(SECOND)), deadline=Micros(2 * SECOND), compensate_on_failure=False
    ),
    "two roots, one retried": Plan.of(step("a"), step("b", retry=THRICE, undo=False)),
}

FORESEEN = {"three in sequence", "three, retried", "diamond", "two roots that join", "a sleep until a moment"}
"""Among others."""

PAUSED = {"one step, retried at once or later", "a sleep until a moment"}
"""It is foreseen in them, among others, what an owner will need that comes when a pause is over."""

QUICK = {
    "one step, retried at once or later",
    "one that is found out, within a time",
    "one step, conditional",
    "one in a transaction",
    "a compensation that waits",
    "a wait with a default",
    "a wait about something, alone",
    "two without compensation at once",
    "a sleep until a moment",
}
"""These, with the first states of `ALSO_QUICK`, go through every line of the exploration itself."""

ALSO_QUICK = {
    "a fan-out, one at a time": (Plan.of(step("a", concurrency=1)), (), 250),
    "one whose condition goes": (Plan.of(step("a", when=True)), (Plan.of(step("a")),), 60),
}
"""Their first states go through every line that all their states go through. Under a tracer all of them take a quarter of the run."""

BOUNDED = {
    "a fan-out beside a step": (Plan.of(step("a", concurrency=2), step("b", undo=False)), 500),
    "two fan-outs": (Plan.of(step("a", concurrency=2), step("b", "a", concurrency=1)), 500),
    "a fan-out past the pivot": (
        Plan.of(step("a"), step("b", "a", undo=False, pivot=True), step("c", "b", concurrency=2, undo=False)),
        500,
    ),
    "three that join": (Plan.of(step("a"), step("b"), step("c"), step("d", "a", "b", "c", undo=False)), 1_200),
    "a fan-out whose items are undone in two moves": (Plan.of(step("a", concurrency=1, undo_waits=("paid",))), 1_200),
    "waits beside steps": (
        Plan.of(
            step("a"),
            wait("b", "a", timeout=Micros(SECOND)),
            sleep("c", timeout=Micros(SECOND)),
            step("d", "b", "c"),
            deadline=Micros(SECOND),
        ),
        1_200,
    ),
    "a long branch beside a short one": (Plan.of(step("a"), step("b", "a"), step("c", undo=False)), 1_200),
    "fork of four": (Plan.of(step("a"), *(step(name, "a") for name in "bcde")), 1_200),
    "deep and wide": (
        Plan.of(
            *(
                step(f"{deep}{wide}", *(f"{deep - 1}{w}" for w in range(3) if deep))
                for deep in range(4)
                for wide in range(3)
            )
        ),
        500,
    ),
}


@pytest.mark.parametrize(
    "shape", [name if name in QUICK else pytest.param(name, marks=pytest.mark.exhaustive) for name in EXHAUSTIVE]
)
def test_every_state_of(shape: str, foreseen: list[Event]) -> None:
    found = explore(EXHAUSTIVE[shape])
    assert foreseen or shape not in FORESEEN
    assert shape not in PAUSED or any(isinstance(event, Resumed) for event in foreseen)
    assert not found.bounded
    assert found.violations == ()
    assert {end.status for end in found.ends} >= {SagaStatus.COMPLETED, SagaStatus.FAILED}


@pytest.mark.exhaustive
@pytest.mark.parametrize("shape", BOUNDED)
def test_the_first_states_of(shape: str) -> None:
    plan, budget = BOUNDED[shape]
    found = explore(plan, budget=budget)
    assert found.bounded
    assert found.states == budget
    assert found.violations == ()


@pytest.mark.parametrize("shape", ALSO_QUICK)
def test_the_first_states_of_what_is_explored_in_full_elsewhere(shape: str) -> None:
    plan, changes, budget = ALSO_QUICK[shape]
    found = explore(plan, changes=changes, budget=budget)
    assert found.states == budget
    assert found.violations == ()


@pytest.mark.exhaustive
def test_every_state_of_nine_in_sequence_without_skips() -> None:
    found = explore(sequence("abcdefghi"), skips=0)
    assert found.bounded  # it says so: skips were left out
    assert found.violations == ()
    assert found.states > 3_000


@pytest.mark.exhaustive
def test_every_state_of_two_that_change_their_plan_on_the_way() -> None:
    inserted = Plan.of(step("a"), step("x", "a"), step("b", "x"))
    appended = Plan.of(step("a"), step("b", "a", undo=False), step("y", "b"))
    found = explore(sequence("ab"), changes=(inserted, appended))
    assert not found.bounded
    assert found.violations == ()


@pytest.mark.exhaustive
def test_every_state_of_one_that_changes_to_a_plan_with_a_pivot_and_back() -> None:
    found = explore(sequence("abc"), changes=(PIVOTED,))
    assert not found.bounded
    assert found.violations == ()


@pytest.mark.exhaustive
def test_every_state_of_two_whose_condition_comes_and_goes() -> None:
    always = Plan.of(step("a"), step("b", "a"))
    found = explore(Plan.of(step("a", when=True), step("b", "a")), changes=(always,))
    assert not found.bounded
    assert found.violations == ()


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "ways",
    list(itertools.combinations(OnUnknown, 2)),
    ids=lambda ways: "_".join(way.name.lower() for way in ways),
)
@pytest.mark.parametrize("undo", [True, False], ids=["undone in doubt", "left over in doubt"])
def test_every_state_of_two_whose_way_to_settle_a_doubt_changes(ways: tuple[OnUnknown, OnUnknown], undo: bool) -> None:
    def plan(way: OnUnknown) -> Plan:
        settled = step(
            "b",
            "a",
            on_unknown=way,
            undo_in_doubt=undo,
            retry=THRICE,
            unknown_retry=THRICE,
            probe_retry=AT_ONCE,
        )
        return Plan.of(step("a"), settled)

    found = explore(plan(ways[0]), changes=(plan(ways[1]),), budget=2_000, skips=0)
    assert found.violations == ()
    assert found.states > 400


@pytest.mark.exhaustive
@pytest.mark.usefixtures("unjudged")
def test_past_the_pivot_only_an_abort_leaves_something() -> None:
    without_abort = {end.left_over for end in explore(PIVOTED).ends if "abort_requested" not in end.story}
    assert not any(A in dict(left) and C in dict(left) for left in without_abort)


@pytest.mark.exhaustive
def test_every_state_of_a_fan_out_that_becomes_narrower_or_a_plain_step() -> None:
    """In one walk: it goes where a walk with each of the two changes alone goes, and it may change to the one after the other."""
    found = explore(Plan.of(step("a", concurrency=2)), changes=(Plan.of(step("a", concurrency=1)), ONE))
    assert not found.bounded
    assert found.violations == ()


@pytest.mark.usefixtures("unjudged")
def test_the_ends_of_two_steps_are_these() -> None:
    ends = {(end.status, end.left_over) for end in explore(sequence("ab", undo="a")).ends}
    none: tuple[tuple[str, LeftOverKind], ...] = ()
    assert (SagaStatus.COMPLETED, none) in ends
    assert (SagaStatus.COMPENSATED, none) in ends
    failed = {dict(left)[A] for status, left in ends if status is SagaStatus.FAILED and A in dict(left)}
    assert failed == set(LeftOverKind)
    assert LeftOverKind.NOT_UNDONE not in {dict(left).get(B) for _, left in ends}


@pytest.mark.usefixtures("unjudged")
def test_an_end_comes_with_the_shortest_story_that_leads_there() -> None:
    stories = {end.status: end.story for end in reversed(explore(ONE).ends)}
    assert stories[SagaStatus.COMPLETED] == ("started", "step_skipped a")


def test_an_exploration_sums_itself_up() -> None:
    assert str(explore(ONE)) == f"all 85 states, {explore(ONE).edges} edges, 8 ends, 0 violations"
    assert str(explore(ONE, budget=2)).startswith("bounded: the first 2 states")
    assert str(explore(ONE, skips=0)).startswith("bounded: the first")


@pytest.mark.exhaustive
@pytest.mark.usefixtures("unjudged")
def test_interchangeable_steps_are_explored_once() -> None:
    alike = explore(Plan.of(step("a"), step("b")))
    different = explore(Plan.of(step("a"), step("b", retry=RetrySchedule(attempts=1, base=Micros(1)))))
    assert alike.states < different.states
    # The same ends, if the two names are taken for one.
    assert {_nameless(end) for end in alike.ends} == {_nameless(end) for end in different.ends}


def _nameless(end: Outcome) -> tuple[SagaStatus, tuple[LeftOverKind, ...]]:
    return end.status, tuple(sorted(kind for _, kind in end.left_over))


def test_a_broken_promise_is_reported_with_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    def never_skipped(edge: Edge) -> bool:
        return not isinstance(edge.event, StepSkipped)

    def never_compensated(plan: Plan, state: SagaState) -> bool:
        return state.goal is not Goal.COMPENSATED

    monkeypatch.setattr(walk, "ASKED", Asked((never_skipped,)))
    monkeypatch.setattr(walk, "STATE_LAWS", (never_compensated,))
    stories = {violation.law: violation.story for violation in reversed(explore(ONE).violations)}
    assert stories == {
        "never_skipped": ("started", "step_skipped a"),
        "never_compensated": ("started", "compensation_requested"),
    }


def test_a_state_without_a_way_out_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing but an abort could ever end a saga."""

    def only_abort_ends(plan: Plan, state: SagaState | None, event: Event) -> Decision:
        decision = transition(plan, state, event)
        if isinstance(event, AbortRequested) or not (isinstance(decision, Success) and decision.unwrap().state.ended):
            return decision
        return Failure(Rejection(Refusal.LATE))

    monkeypatch.setattr(offers, "transition", only_abort_ends)
    laws = {violation.law for violation in explore(ONE).violations}
    assert laws == {"comes to an end or waits for a person, of itself", "has a way to an end other than abort"}


def _known(state: SagaState) -> tuple[object, ...]:
    """What inputs are computed from."""
    done = {step for step in state.steps if is_done(step)}
    return done, state.events, state.latest_event_seq


@pytest.mark.usefixtures("unjudged")
@pytest.mark.parametrize(
    "plan",
    [
        ONE,
        pytest.param(Plan.of(wait("a"), step("b", "a")), marks=pytest.mark.exhaustive),
        pytest.param(Plan.of(step("a"), step("b", "a", on_unknown=OnUnknown.PROBE)), marks=pytest.mark.exhaustive),
    ],
)
def test_no_output_that_a_state_gains_goes_unnoticed(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    told: set[type[object]] = set()

    def watched(plan: Plan, state: SagaState | None, event: Event) -> Decision:
        decision = transition(plan, state, event)
        if state is not None and isinstance(decision, Success):
            after, known = decision.unwrap().state, outputs_at(plan, state)
            gained = outputs_gained(state, after, [event])
            new = {each for each in outputs_at(plan, after).items() if each[1] not in (known.get(each[0]), NO_OUTPUT)}
            assert new <= {*gained}
            told.update({type(event)} if gained else ())
        return decision

    monkeypatch.setattr(offers, "transition", watched)
    explore(plan, budget=800)
    assert told
