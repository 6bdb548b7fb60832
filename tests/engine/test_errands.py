"""Tasks that go on beside their owner: kept until they are over, and ended by who began them."""

from __future__ import annotations

import asyncio
import gc

from saga_fn.tasks import Errands


async def test_an_errand_is_kept_until_it_is_over_and_told_then() -> None:
    over: list[asyncio.Task[None]] = []
    errands = Errands(over.append)
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        gc.collect()
        done.set()

    task = errands.begin(work())
    assert not task.done()
    await errands.wait()
    assert done.is_set()
    assert not errands.running
    await asyncio.sleep(0)
    assert over == [task]


async def test_what_has_a_moment_left_may_end_by_itself_and_the_rest_is_cut_short() -> None:
    ended: list[str] = []

    async def work(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.append(name)

    errands = Errands()
    errands.add(work("quick", 0.0))
    errands.add(work("slow", 3600.0))
    await errands.stop(first=0.05)
    assert ended == ["quick", "slow"]
    assert not errands.running


async def test_whoever_waits_with_patience_leaves_what_goes_on_alone() -> None:
    hold = asyncio.Event()

    async def work() -> None:
        await hold.wait()

    errands = Errands()
    await errands.wait()
    task = errands.begin(work())
    await errands.wait(0.01)
    assert not task.cancelling()
    hold.set()
    await errands.wait()
    assert not errands.running
