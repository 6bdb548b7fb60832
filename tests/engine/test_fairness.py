"""However much there is to do in one place, what is due in another has its turn."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from functools import partial

import pytest

from saga_fn import Compensated, Completed, FixedRetry, SagaBuilder, SagaDefinition, SagaOrchestrator, SagaStatus, step
from saga_fn.store.ids import shard_of_key
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON

SHARDS = 2
BACKLOG = 40
"""More than a worker has slots, at any time."""


def brief(seen: list[str]) -> SagaDefinition[Order, Done]:
    async def work(inp: Order) -> Done:
        await asyncio.sleep(0.002)
        seen.append(inp.order_id)
        return Done(inp.order_id)

    builder = SagaBuilder(Order)
    return builder.build(output=builder.add_step(step(work), depends_on=builder.initial))


def keys_of(shard: int, shards: int) -> itertools.filterfalse[str]:
    """Business keys whose sagas are in that shard."""
    return itertools.filterfalse(lambda key: shard_of_key(key, shards) != shard, map(str, itertools.count()))


@pytest.fixture
def make_sharded(request: pytest.FixtureRequest, make: Make) -> Make:
    """As `make`, with two shards."""
    from saga_fn import MemoryStore

    orchestrator = make()
    if isinstance(orchestrator.engine.store, MemoryStore):
        store = MemoryStore(shards=SHARDS)
        return partial(SagaOrchestrator, store, poll_interval=timedelta(milliseconds=50))
    dsn = request.getfixturevalue("empty_dsn")
    return partial(SagaOrchestrator, dsn, migrate=True, shards=SHARDS, poll_interval=timedelta(milliseconds=50))


async def test_a_shard_with_a_steady_backlog_keeps_no_other_waiting(make_sharded: Make) -> None:
    seen: list[str] = []
    definition = brief(seen)
    async with make_sharded(concurrency=0) as starter, make_sharded(concurrency=4) as worker:
        busy = starter.register("brief", definition)
        keys = keys_of(0, SHARDS)
        started = 0

        async def feed() -> None:
            nonlocal started
            while True:
                while started - len(seen) < BACKLOG:
                    started += 1
                    await busy.start(Order("busy"), aggregation_id=next(keys))
                await asyncio.sleep(0)

        feeding = asyncio.create_task(feed())
        async with asyncio.timeout(SOON):
            while started < BACKLOG:
                await asyncio.sleep(0.005)
            worker.register("brief", definition)
            while len(seen) < BACKLOG:  # it is behind in that shard
                await asyncio.sleep(0.005)
            quiet = await busy.start(Order("quiet"), aggregation_id=next(keys_of(1, SHARDS)))
            assert await quiet.result() == Done("quiet")
        assert not feeding.done(), "it was busy all the time"
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def test_what_comes_later_of_one_name_overtakes_nothing_of_another(make: Make) -> None:
    seen: list[str] = []
    definition = brief(seen)
    async with make(concurrency=0) as starter:
        busy, quiet = starter.register("busy", definition), starter.register("quiet", definition)
        await busy.start_many(Order("before") for _ in range(BACKLOG))
        await quiet.start(Order("quiet"))
        async with make(concurrency=2) as worker:
            worker.register("busy", definition)
            worker.register("quiet", definition)

            async def feed() -> None:
                while True:
                    await busy.start(Order("after"))

            feeding = asyncio.create_task(feed())
            async with asyncio.timeout(SOON):
                while "quiet" not in seen:
                    await asyncio.sleep(0.005)
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        assert seen[: seen.index("quiet")].count("after") <= 4, "no more than there are slots"


@pytest.mark.predecessor(8)
async def test_what_has_waited_longest_goes_first_whatever_its_status(make: Make) -> None:
    shop = Shop(fails={"reserve": 1})
    rolling = Shop(fails={"ship": 1, "refund charge": 1})
    soon = FixedRetry(max_attempts=2, delay=timedelta(milliseconds=1))
    async with make(concurrency=0) as orchestrator:
        retried = await orchestrator.register("retried", make_saga(shop, retry=soon)).start(Order("1"))
        undone = await orchestrator.register("undone", make_saga(rolling, undo=soon)).start(Order("1"))
        assert await orchestrator.run_due() == 2
        assert [(await run.snapshot()).status for run in (retried, undone)] == [SagaStatus.SUSPENDED] * 2
        await asyncio.sleep(0.01)  # by the store's clock both are due now, and before the crowd
        crowd = orchestrator.register("crowd", make_saga(Shop()))
        fresh = [await crowd.start(Order(str(number))) for number in range(10)]
        assert await orchestrator.run_due(limit=2) == 2
        assert isinstance(await retried.outcome(SOON), Completed)
        assert isinstance(await undone.outcome(SOON), Compensated)
        assert {(await run.snapshot()).status for run in fresh} == {SagaStatus.RUNNING}, "none of the crowd was taken"
