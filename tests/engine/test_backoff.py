"""Pauses between tries grow, up to a longest one, and are shortened at random."""

from __future__ import annotations

import asyncio

import pytest

from saga_fn.backoff import Backoff


def test_pauses_grow_up_to_the_longest() -> None:
    backoff = Backoff(0.1, 1.0)
    assert [backoff.next() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.reset()
    assert backoff.next() == 0.1
    assert [Backoff(2.0, 1.0, factor=1.5).next() for _ in range(2)] == [1.0, 1.0]


async def test_a_pause_is_between_half_of_it_and_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for _ in range(100):
        await Backoff(1.0, 4.0).pause()
    assert 0.5 <= min(slept) < max(slept) <= 1.0
    slept.clear()
    await Backoff(1.0, 4.0).pause(least=10.0)
    await Backoff(1.0, 4.0).pause(least=10.0, most=0.25)
    assert 5.0 <= slept[0] <= 10.0
    assert slept[1] == 0.25
