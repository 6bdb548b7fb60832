"""A soak finds out that something grows."""

from __future__ import annotations

import attrs
import pytest

from tests.faults.soak import Sample, grown

STEADY = Sample(minute=1.0, ended=1000, p99=0.1, memory=50, tables=9000, indexes=7000, dead=1000, kills=1)


@pytest.mark.parametrize("what", ["p99", "memory", "tables", "indexes", "dead"])
def test_a_measure_that_grows_is_named(what: str) -> None:
    samples = [attrs.evolve(STEADY, **{what: getattr(STEADY, what) * (1 + number / 20)}) for number in range(30)]
    (line,) = grown(samples)
    assert line.startswith(f"{what} grew from ")


def test_a_run_of_which_single_moments_stand_out_has_not_grown() -> None:
    samples = [attrs.evolve(STEADY, p99=2.0 if number % 7 == 6 else 0.1) for number in range(30)]
    assert grown(samples) == []
