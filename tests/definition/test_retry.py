from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_fn import ExponentialRetry, FixedRetry, NoRetry, SagaDefinitionError
from saga_fn.core.retry import LONGEST_DELAY

SECOND = timedelta(seconds=1)


def test_the_schedules_of_the_policies() -> None:
    assert NoRetry().schedule().attempts == 1
    fixed = FixedRetry(max_attempts=3, delay=SECOND).schedule()
    assert [fixed.delay_after(n, jitter_draw=0.0) for n in (1, 2, 3)] == [1_000_000, 1_000_000, None]
    growing = ExponentialRetry(max_attempts=9, base_delay=SECOND, max_delay=5 * SECOND, jitter=0.0).schedule()
    assert [growing.delay_after(n, jitter_draw=0.9) for n in (1, 2, 3, 4)] == [
        1_000_000,
        2_000_000,
        4_000_000,
        5_000_000,
    ]


@given(
    attempts=st.integers(1, 1_000_000),
    base=st.timedeltas(timedelta(0), timedelta(days=365)),
    multiplier=st.floats(1.0, 1000.0),
    failures=st.integers(1, 1_000_000),
    jitter_draw=st.floats(0.0, 1.0, exclude_max=True),
)
def test_no_delay_overflows(
    attempts: int, base: timedelta, multiplier: float, failures: int, jitter_draw: float
) -> None:
    schedule = ExponentialRetry(max_attempts=attempts, base_delay=base, multiplier=multiplier).schedule()
    delay = schedule.delay_after(failures, jitter_draw=jitter_draw)
    assert delay is None if failures >= attempts else delay is not None and 0 <= delay <= LONGEST_DELAY


NAN = float("nan")
WRONG: list[tuple[Callable[..., object], dict[str, Any]]] = [  # Any: values that the checkers would refuse
    (FixedRetry, {"max_attempts": 0}),
    (FixedRetry, {"max_attempts": -1}),
    (FixedRetry, {"max_attempts": True}),
    (FixedRetry, {"max_attempts": 2.0}),
    (FixedRetry, {"max_attempts": 2, "delay": 5}),
    (FixedRetry, {"max_attempts": 2, "delay": NAN}),
    (FixedRetry, {"max_attempts": 2, "delay": -SECOND}),
    (FixedRetry, {"max_attempts": 2, "delay": timedelta(days=366)}),
    (ExponentialRetry, {"max_attempts": 0}),
    (ExponentialRetry, {"max_attempts": 2, "base_delay": -SECOND}),
    (ExponentialRetry, {"max_attempts": 2, "max_delay": -SECOND}),
    (ExponentialRetry, {"max_attempts": 2, "max_delay": 3}),
    (ExponentialRetry, {"max_attempts": 2, "base_delay": 10 * SECOND, "max_delay": SECOND}),
    (ExponentialRetry, {"max_attempts": 2, "multiplier": NAN}),
    (ExponentialRetry, {"max_attempts": 2, "multiplier": float("inf")}),
    (ExponentialRetry, {"max_attempts": 2, "multiplier": 0.0}),
    (ExponentialRetry, {"max_attempts": 2, "jitter": NAN}),
    (ExponentialRetry, {"max_attempts": 2, "jitter": 1.5}),
    (ExponentialRetry, {"max_attempts": 2, "jitter": "much"}),
]


@pytest.mark.parametrize("policy, options", WRONG)
def test_values_out_of_range_are_refused(policy: Callable[..., object], options: dict[str, object]) -> None:
    with pytest.raises(SagaDefinitionError, match=list(options)[-1]):
        policy(**options)


def test_the_first_delay_is_no_longer_than_the_longest_where_it_is_not_given() -> None:
    policy = ExponentialRetry(max_attempts=2, max_delay=SECOND / 10)
    assert policy.schedule().delay_after(1, jitter_draw=0.0) == 100_000
