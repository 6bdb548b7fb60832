"""Each law catches the lies it is there for, and nothing else: the states and edges of `forged/`, and forged readings."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import pytest

from saga_fn.core.ids import Micros, Moment, StepId
from saga_fn.core.invariants import ASKED, EDGE_LAWS, STATE_LAWS, Edge, EdgeLaw, StateLaw, ends, rows
from saga_fn.core.invariants.ends import i11_an_end_is_at_rest, i12_failed_lists_what_is_left
from saga_fn.core.invariants.rows import (
    i1_a_message_makes_it_due,
    i1_a_scan_finds_it,
    i1_the_row_keeps_the_tables_rules,
)
from saga_fn.core.leftovers import LeftOver, left_over
from saga_fn.core.plan import Plan
from saga_fn.core.projection import Projection, WaitReason, project
from saga_fn.core.state import FailedForGood, Goal, Retrying, Running, SagaState, Succeeded, Unknown, Waiting
from tests.core import forged
from tests.core.forged.given import DOUBTFUL, HELD, LATER, ONCE, RAN, TWO, parked, state
from tests.core.forged.lies import lies
from tests.core.given import A, B, sleep, started, wait

OF_READINGS = {
    i1_a_scan_finds_it,
    i1_the_row_keeps_the_tables_rules,
    i1_a_message_makes_it_due,
    i12_failed_lists_what_is_left,
}
"""These compare the state with what is read from it, which is forged below."""


def named(law: StateLaw | EdgeLaw) -> str:
    return law.__name__


@pytest.mark.parametrize("law", STATE_LAWS, ids=named)
def test_an_honest_state_passes(law: StateLaw) -> None:
    assert [(plan, honest) for plan, honest in forged.HONEST_STATES if not law(plan, honest)] == []


@pytest.mark.parametrize("law", EDGE_LAWS, ids=named)
def test_an_honest_edge_passes(law: EdgeLaw) -> None:
    assert [honest for honest in forged.HONEST_EDGES if not law(honest)] == []


@pytest.mark.parametrize("law", [law for law in STATE_LAWS if law not in OF_READINGS], ids=named)
def test_a_broken_state_is_caught_by(law: StateLaw) -> None:
    assert [(plan, broken) for plan, broken in forged.BROKEN_STATES[law] if law(plan, broken)] == []


@pytest.mark.parametrize("law", EDGE_LAWS, ids=named)
def test_a_broken_edge_is_caught_by(law: EdgeLaw) -> None:
    assert [broken for broken in forged.BROKEN_EDGES[law] if law(broken)] == []


@pytest.mark.parametrize("law", EDGE_LAWS, ids=named)
def test_each_edge_that_breaks_a_law_is_one_of_which_it_is_asked(law: EdgeLaw) -> None:
    assert [broken for broken in forged.BROKEN_EDGES[law] if law not in ASKED.of(broken)] == []


def test_a_law_has_nothing_to_say_of_an_edge_of_which_it_is_not_asked() -> None:
    """Each lie breaks laws that are among those that are asked."""
    edges = [*forged.HONEST_EDGES, *(edge for edges in forged.BROKEN_EDGES.values() for edge in edges)]
    broken: set[EdgeLaw] = set()
    for lie in lies(edges, 4_000, Random(1)):
        caught = {law for law in EDGE_LAWS if not _holds(law, lie)}
        assert caught <= {*ASKED.of(lie)}
        broken |= caught
    assert len(broken) > 0.9 * len(EDGE_LAWS), "the lies are of nearly every kind"


def _holds(law: EdgeLaw, lie: Edge) -> bool:
    try:
        return law(lie)
    except KeyError:  # it looks for a step that is not there: it has something to say
        return False


def test_each_law_has_a_lie_to_catch() -> None:
    assert all(forged.BROKEN_STATES.values())
    assert all(forged.BROKEN_EDGES.values())


def with_due(due: Moment | None) -> Callable[[Plan, SagaState], Projection]:
    return lambda plan, state: msgspec.structs.replace(project(plan, state), due=due)


def with_waits(waits: WaitReason) -> Callable[[Plan, SagaState], Projection]:
    return lambda plan, state: msgspec.structs.replace(project(plan, state), waits=waits)


def test_a_row_that_no_scan_can_find_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    live = [RAN, state(), state(Retrying(A, ONCE, LATER)), state(Succeeded(A, 1)), state(parked(A), Running(B, ONCE))]
    at_rest = [state(parked(A)), state(goal=Goal.FAILED)]
    monkeypatch.setattr(rows, "row_of", with_due(None))
    assert not [each for each in live if i1_a_scan_finds_it(TWO, each)]
    assert not [each for each in live if i1_the_row_keeps_the_tables_rules(TWO, each)]
    assert [each for each in at_rest if i1_a_scan_finds_it(TWO, each)] == at_rest
    monkeypatch.setattr(rows, "row_of", with_due(Moment(0)))
    assert not [each for each in at_rest if i1_the_row_keeps_the_tables_rules(TWO, each)]
    assert not i1_a_scan_finds_it(TWO, state(goal=Goal.FAILED))


def test_a_wait_that_no_scan_can_find_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Plan.of(wait("a")), Plan.of(sleep("a"))
    for_ever, for_a_while = started(one).state, started(Plan.of(wait("a", timeout=Micros(9)))).state
    asleep = started(Plan.of(sleep("a", timeout=Micros(9)))).state
    for each in (for_ever, for_a_while, asleep):
        assert i1_a_scan_finds_it(one, each)
        assert i1_the_row_keeps_the_tables_rules(one, each)
    monkeypatch.setattr(rows, "row_of", with_due(None))
    assert i1_a_scan_finds_it(one, for_ever)
    assert not i1_a_scan_finds_it(one, for_a_while)
    assert not i1_a_scan_finds_it(other, asleep)
    assert not i1_the_row_keeps_the_tables_rules(other, asleep)


def test_a_row_that_contradicts_its_status_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    keeps_the_rules = i1_the_row_keeps_the_tables_rules
    ended, waiting, held_up = state(goal=Goal.FAILED), state(Retrying(A, ONCE, LATER)), state(Unknown(A, HELD))
    for honest in (RAN, ended, waiting, held_up, state(parked(A))):
        assert keeps_the_rules(TWO, honest)
    monkeypatch.setattr(rows, "row_of", with_waits(WaitReason.RETRY))
    assert not [each for each in (RAN, ended, state(parked(A))) if keeps_the_rules(TWO, each)]
    monkeypatch.setattr(rows, "row_of", with_waits(WaitReason.NOTHING))
    assert not [each for each in (waiting, held_up, state(parked(A))) if keeps_the_rules(TWO, each)]
    monkeypatch.setattr(rows, "row_of", with_waits(WaitReason.PARKED))
    assert not [each for each in (RAN, ended, waiting, held_up) if keeps_the_rules(TWO, each)]


def test_a_row_that_no_message_wakes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(plan: Plan, state: SagaState) -> Projection:
        return msgspec.structs.replace(project(plan, state), wakes_on_message=False)

    left_to_a_person = state(parked(A))
    waits_for_an_event = state(Waiting(A))
    beside_it = state(Waiting(A), parked(B))
    every = [left_to_a_person, waits_for_an_event, beside_it, RAN, state(parked(A), Running(B, ONCE))]
    assert [each for each in every if i1_a_message_makes_it_due(TWO, each)] == every
    monkeypatch.setattr(rows, "row_of", deaf)
    assert [each for each in every if i1_a_message_makes_it_due(TWO, each)] == [left_to_a_person]


def test_an_end_that_could_still_start_something_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def every_root(plan: Plan, state: SagaState) -> tuple[StepId, ...]:
        return plan.roots if state.rev else ()

    assert i11_an_end_is_at_rest(TWO, state(goal=Goal.FAILED))
    monkeypatch.setattr(ends, "startable", every_root)
    assert not i11_an_end_is_at_rest(TWO, state(goal=Goal.FAILED))
    assert i11_an_end_is_at_rest(TWO, state())


def test_a_list_of_leftovers_that_lies_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_only(plan: Plan, state: SagaState) -> tuple[LeftOver, ...]:
        return left_over(plan, msgspec.structs.replace(state, goal=Goal.FAILED))[:1]

    owing = state(Succeeded(A, 1), FailedForGood(B, DOUBTFUL), goal=Goal.FAILED)
    assert i12_failed_lists_what_is_left(TWO, owing)
    monkeypatch.setattr(ends, "left_over", first_only)
    assert not i12_failed_lists_what_is_left(TWO, owing)
    assert not i12_failed_lists_what_is_left(TWO, state(Succeeded(A, 1), goal=Goal.COMPENSATED))
