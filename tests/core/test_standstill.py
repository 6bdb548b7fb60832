"""The clock of a saga stands while anything pauses it, in whatever order the pauses end that move its moments."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from saga_fn.core import standstill
from saga_fn.core.events import MomentsMoved, StepSucceeded
from saga_fn.core.ids import Micros, Moment
from saga_fn.core.plan import Plan
from saga_fn.core.standstill import MOST, Stretch
from saga_fn.core.state import Sleeping
from saga_fn.core.transition import transition
from tests.core.given import A, B, C, sleep, started, step

LAST = 300


def rings_at(length: int, pauses: list[tuple[int, int]], now: int = 0) -> int:
    """The same by a clock that is looked at each tick, from then on: it goes on unless a pause holds."""
    gone = 0
    while gone < length:
        gone += not any(since <= now < until for since, until in pauses)
        now += 1
    return now


def pauses() -> st.SearchStrategy[list[tuple[int, int]]]:
    spans = st.tuples(st.integers(0, LAST), st.integers(1, LAST)).map(lambda each: (min(each), max(each)))
    return st.lists(spans.filter(lambda each: each[0] < each[1]), max_size=MOST)


@given(pauses(), st.integers(1, LAST))
@example([(70, 120), (10, 210)], 60)
@example([(0, 10), (15, 20), (5, 30)], 60)
def test_a_moment_that_was_set_before_all_pauses_comes_when_the_clock_has_gone_on_for_so_long(
    told: list[tuple[int, int]], length: int
) -> None:
    told = sorted(told, key=lambda each: each[1])  # a pause is told when it ends
    plan = Plan.of(sleep("a", timeout=Micros(length)), sleep("b", timeout=Micros(10 * LAST)))
    saga = started(plan)
    counted: list[tuple[int, int]] = []
    for since, until in told:
        event = MomentsMoved(Moment(until), Moment(since), Moment(until))
        counted.append((since, until))
        if transition(plan, saga.state, event).value_or(None) is not None:
            saga.tell(event)
        else:
            assert rings_at(10 * LAST, counted) == rings_at(10 * LAST, counted[:-1])
        assert next(each.wake for each in saga.state.steps if isinstance(each, Sleeping)) == rings_at(length, counted)
        assert saga.refusal(event) is not None


@given(pauses(), st.integers(1, LAST), st.integers(0, LAST))
@example([(10, 50)], 60, 30)
@example([(10, 50), (5, 55)], 60, 30)
@example([(10, 50), (40, 80)], 10, 45)
@example([(10, 20), (30, 40)], 5, 35)
def test_a_moment_that_was_set_meanwhile_comes_when_the_clock_has_gone_on_for_so_long_from_then(
    told: list[tuple[int, int]], length: int, at: int
) -> None:
    told = sorted(told, key=lambda each: each[1])
    plan = Plan.of(step("a"), sleep("b", "a", timeout=Micros(length)), sleep("c", timeout=Micros(10 * LAST)))
    saga = started(plan, A)

    def resumed(pauses: list[tuple[int, int]]) -> None:
        for since, until in pauses:
            event = MomentsMoved(Moment(until), Moment(since), Moment(until))
            if transition(plan, saga.state, event).value_or(None) is not None:
                saga.tell(event)

    resumed([each for each in told if each[1] <= at])
    saga.tell(StepSucceeded(Moment(at), A, 1))
    assert saga.of(B, Sleeping).wake == at + length
    resumed([each for each in told if each[1] > at])
    assert saga.of(B, Sleeping).wake == rings_at(length, told, at)
    assert saga.of(C, Sleeping).wake == rings_at(10 * LAST, told)


@given(pauses(), st.integers(0, LAST))
@example([(10, 50), (7, 60)], 5)
@example([(10, 50), (5, 55)], 30)
def test_a_count_is_as_long_as_the_clock_has_gone_on_since_it_began(told: list[tuple[int, int]], began: int) -> None:
    known: tuple[Stretch, ...] = ()
    since = Moment(began)
    for first, last in sorted(told, key=lambda each: each[1]):
        now = standstill.joined(known, Moment(first), Moment(last))
        if last > began:
            since, known = Moment(standstill.counted(since, known, now)), now
    assert 2 * LAST - since == sum(
        not any(first <= tick < last for first, last in told) for tick in range(began, 2 * LAST)
    )


def test_a_state_keeps_so_many_stretches_and_the_oldest_become_one() -> None:
    known: tuple[Stretch, ...] = ()
    for number in range(MOST + 2):
        known = standstill.at_most(standstill.joined(known, Moment(10 * number), Moment(10 * number + 1)))
        assert len(known) == min(number + 1, MOST)
    assert known[:2] == ((0, 21), (30, 31))
