"""An engine that misses its timers says so. In a World it misses them where the test has its process stand still, and nowhere else."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from saga_fn import FixedRetry, StepRef, saga, sleep, step
from saga_fn.testing import World

LEASE = timedelta(milliseconds=50)
LONGER = 4 * LEASE.total_seconds()


class Order(msgspec.Struct, frozen=True):
    id: str = "1"


@step(retry_policy=FixedRetry(max_attempts=3, delay=timedelta(hours=1)))
async def charge(order: Order) -> str:
    return "receipt"


@saga("shop")
def shop(order: StepRef[Order]) -> StepRef[str]:
    charge(order, step_id="first")
    sleep(timedelta(days=3))
    return charge(order)


@pytest.fixture
def stalls(caplog: pytest.LogCaptureFixture) -> Callable[[], list[float]]:
    """The seconds for which a process has said that it stood still, each time that it has."""
    caplog.set_level("WARNING", "saga_fn")

    def told() -> list[float]:
        found = (re.search(r"stood still for ([\d.]+) s", line) for line in caplog.messages)
        return [float(match[1]) for match in found if match is not None]

    return told


async def slow(order: Order) -> str:
    await asyncio.sleep(LONGER)
    return "receipt"


def blocking(order: Order) -> str:
    time.sleep(LONGER)
    return "receipt"


@pytest.mark.parametrize("fake", [slow, blocking])
async def test_a_fake_that_takes_longer_than_a_lease_is_no_stall(
    fake: Callable[[Order], str], stalls: Callable[[], list[float]]
) -> None:
    async with World(lease=LEASE) as world:
        handle = world.register(shop)
        world.fake(charge, fake)
        assert await handle.run(Order()) == "receipt"
    assert stalls() == []


async def test_no_time_that_passes_is_a_stall(stalls: Callable[[], list[float]]) -> None:
    async with World(lease=LEASE) as world:
        run = await world.register(shop).start(Order(), delay=timedelta(days=1))
        world.fake(charge, raises=ConnectionError(), times=2)
        await world.advance(timedelta(days=2))
        await world.until(run, step="charge")
        await world.advance(timedelta(days=300))
        assert (await run.snapshot()).status == "COMPLETED"
    assert stalls() == []


async def test_a_process_that_stands_still_says_so_once_by_the_clock_of_the_world(
    stalls: Callable[[], list[float]],
) -> None:
    async with World(lease=timedelta(minutes=1)) as world:
        run = await world.register(shop).start(Order())
        await world.until(run, step="first")
        world.lose_lease(run)
        assert await run.result() == "receipt"
        assert world.called == ("first", "first", "charge")
    (seconds,) = stalls()
    assert 20 < seconds < 61, "its lease was over in a minute, and a third of it makes a stall"
