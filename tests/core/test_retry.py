"""A retry schedule: how many attempts, how long between them, and no number that breaks it."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_fn.core.ids import Micros
from saga_fn.core.retry import LONGEST_DELAY, RetrySchedule
from tests.core.given import MINUTE, SECOND
from tests.core.strategies import draws, schedules


def test_attempts_count_attempts() -> None:
    thrice = RetrySchedule(attempts=3, base=Micros(SECOND))
    assert [thrice.delay_after(failures, jitter_draw=0.0) for failures in (1, 2, 3, 4)] == [SECOND, SECOND, None, None]


def test_each_wait_is_longer_up_to_the_cap() -> None:
    doubling = RetrySchedule(attempts=9, base=Micros(SECOND), multiplier=2.0, cap=Micros(5 * SECOND))
    waits = [doubling.delay_after(failures, jitter_draw=0.0) for failures in (1, 2, 3, 4, 5)]
    assert waits == [SECOND, 2 * SECOND, 4 * SECOND, 5 * SECOND, 5 * SECOND]


def test_a_wait_shrinks_with_a_multiplier_below_one() -> None:
    shrinking = RetrySchedule(attempts=9, base=Micros(8), multiplier=0.5)
    assert [shrinking.delay_after(failures, jitter_draw=0.0) for failures in (1, 2, 3)] == [8, 4, 2]


def test_after_the_third_failure_no_schedule_repeats_without_a_wait() -> None:
    at_once = RetrySchedule(attempts=1_000_000)
    waits = [at_once.delay_after(failures, jitter_draw=0.0) for failures in range(1, 13)]
    assert waits == [0, 0, 0, *(10_000 * 2**n for n in range(7)), SECOND, SECOND]
    assert at_once.delay_after(999_999, jitter_draw=0.0) == SECOND


def test_a_wait_longer_than_the_least_is_as_the_schedule_says() -> None:
    jittered = RetrySchedule(attempts=99, base=Micros(MINUTE), jitter=1.0)
    assert jittered.delay_after(50, jitter_draw=0.5) == MINUTE // 2
    assert jittered.delay_after(50, jitter_draw=0.999999) == SECOND


def test_jitter_takes_away_up_to_its_share() -> None:
    jittered = RetrySchedule(attempts=2, base=Micros(1000), jitter=0.5)
    assert [jittered.delay_after(1, jitter_draw=jitter_draw) for jitter_draw in (0.0, 0.5, 0.999)] == [1000, 750, 500]


@pytest.mark.parametrize("jitter_draw", [math.nan, math.inf, -math.inf, -0.1, 1.0, 1e300])
def test_a_draw_out_of_range_counts_as_none(jitter_draw: float) -> None:
    assert RetrySchedule(attempts=2, base=Micros(1000), jitter=1.0).delay_after(1, jitter_draw=jitter_draw) == 1000


def test_a_huge_attempt_number_never_overflows() -> None:
    for_ever = RetrySchedule(attempts=(1 << 63) - 1, base=Micros(5 * SECOND), multiplier=1e308)
    assert for_ever.delay_after(59, jitter_draw=0.0) == LONGEST_DELAY
    assert for_ever.delay_after((1 << 63) - 2, jitter_draw=0.0) == LONGEST_DELAY


@given(schedules, st.integers(1, (1 << 63) - 1) | st.integers(1, 10), draws)
def test_a_delay_is_within_its_bounds(schedule: RetrySchedule, failures: int, jitter_draw: float) -> None:
    delay = schedule.delay_after(failures, jitter_draw=jitter_draw)
    timeless = msgspec.structs.replace(schedule, within=0)
    full = timeless.delay_after(failures, jitter_draw=0.0)
    assert (full is None) == (failures >= schedule.attempts)
    if delay is None and full is not None:
        unbounded = timeless.delay_after(failures, jitter_draw=jitter_draw)
        assert unbounded is not None
        assert unbounded > schedule.within > 0
    if delay is not None:
        assert full is not None
        assert not schedule.within or delay <= schedule.within
        least = 0 if failures <= 3 else SECOND
        assert 0 <= delay <= full <= max(schedule.cap, least)
        assert delay >= math.floor(full * (1.0 - schedule.jitter)) - 1


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"attempts": 0}, "attempts must be from 1 to 2**63 - 1, not 0"),
        ({"attempts": 1 << 63}, "attempts must be"),
        ({"base": -1}, "base and cap must be from 0 to a year, not -1 and"),
        ({"base": LONGEST_DELAY + 1}, "base and cap must be"),
        ({"cap": -1}, "base and cap must be"),
        ({"cap": LONGEST_DELAY + 1}, "base and cap must be"),
        ({"multiplier": 0.0}, "multiplier must be a positive number, not 0.0"),
        ({"multiplier": math.inf}, "multiplier must be"),
        ({"multiplier": math.nan}, "multiplier must be"),
        ({"jitter": -0.1}, "jitter must be from 0 to 1, not -0.1"),
        ({"jitter": 1.1}, "jitter must be"),
        ({"jitter": math.nan}, "jitter must be"),
    ],
)
def test_what_is_no_schedule_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match="^" + message.replace("*", r"\*")):
        RetrySchedule(**wrong)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - wrong on purpose


@pytest.mark.parametrize(
    "edge",
    [
        RetrySchedule(attempts=1),
        RetrySchedule(attempts=(1 << 63) - 1),
        RetrySchedule(base=Micros(0), cap=Micros(0)),
        RetrySchedule(base=LONGEST_DELAY, cap=LONGEST_DELAY),
        RetrySchedule(jitter=1.0),
        RetrySchedule(within=LONGEST_DELAY),
    ],
)
def test_the_bounds_themselves_are_allowed(edge: RetrySchedule) -> None:
    assert edge.delay_after(1, jitter_draw=0.0) in (None, 0, LONGEST_DELAY)


def test_a_cap_of_nothing_and_a_base_of_nothing_mean_at_once() -> None:
    assert RetrySchedule(attempts=2, base=Micros(5), cap=Micros(0)).delay_after(1, jitter_draw=0.0) == 0
    assert RetrySchedule(attempts=2, base=Micros(0)).delay_after(1, jitter_draw=0.0) == 0


def test_a_base_above_the_cap_is_cut() -> None:
    assert RetrySchedule(attempts=2, base=Micros(7), cap=Micros(5)).delay_after(1, jitter_draw=0.0) == 5
    assert RetrySchedule(attempts=3, base=Micros(7), cap=Micros(7), multiplier=0.5).delay_after(2, jitter_draw=0.0) == 3


def test_the_edges_are_allowed() -> None:
    widest = RetrySchedule(attempts=(1 << 63) - 1, base=LONGEST_DELAY, multiplier=1e-300, cap=LONGEST_DELAY, jitter=1.0)
    assert widest.delay_after(1, jitter_draw=0.0) == LONGEST_DELAY
    assert RetrySchedule(attempts=2, base=Micros(0), cap=Micros(0), jitter=0.0).delay_after(1, jitter_draw=0.5) == 0
