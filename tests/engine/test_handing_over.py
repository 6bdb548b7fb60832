"""Stopping, resuming, scheduling: sagas pass from hand to hand at once, not when a lease is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from saga_fn import (
    Completed,
    FixedRetry,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaStatus,
    step,
)
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON

FOR_EVER = timedelta(hours=1)
"""A lease, or a pause between looks, that no test waits for."""
SHORT = timedelta(milliseconds=50)


async def _until_charging(shop: Shop, count: int = 1) -> None:
    async with asyncio.timeout(SOON):
        while sum(":charge:" in key for key in shop.keys) < count:
            await asyncio.sleep(0.005)


@pytest.mark.fault(48)
async def test_a_stop_finishes_the_step_that_runs_and_another_worker_goes_on_at_once(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    definition = make_saga(shop)
    async with make(lease=FOR_EVER, poll_interval=FOR_EVER) as second:
        handle = second.register("shop", definition)
        async with make(lease=FOR_EVER) as first:
            run = await first.register("shop", definition).start(Order("1"))
            await _until_charging(shop)
            asyncio.get_running_loop().call_later(0.05, shop.hold.set)
        assert shop.done[:2] == ["reserve", "charge"], "what ran when it stopped was awaited"
        assert await handle.attach(run.id).result(SOON) == Done("ship")
        assert shop.done == ["reserve", "charge", "ship"]


@pytest.mark.fault(48)
async def test_a_stop_cuts_short_what_takes_too_long_and_another_worker_repeats_it_at_once(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition = make_saga(shop)
    async with make(lease=FOR_EVER, poll_interval=FOR_EVER) as second:
        handle = second.register("shop", definition)
        async with make(lease=FOR_EVER, stop_timeout=SHORT) as first:
            runs = await first.register("shop", definition).start_many([Order(str(number)) for number in range(5)])
            await _until_charging(shop, count=5)
        assert shop.hold is not None
        shop.hold.set()
        for run in runs:
            assert await handle.attach(run.id).result(SOON) == Done("ship")
        charges = [key for key in shop.keys if ":charge:" in key]
        assert (len(charges), len(set(charges))) == (10, 5), "repeated under the same keys"


async def test_a_stop_tells_whoever_listens_that_there_is_work(dsn: str) -> None:
    told = asyncio.Event()

    def hear(*_: object) -> None:
        told.set()

    shop = Shop(hold=asyncio.Event())
    other = await asyncpg.connect(dsn)
    try:
        async with SagaOrchestrator(dsn, stop_timeout=SHORT) as orchestrator:
            run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
            await _until_charging(shop)
            await other.add_listener("saga_fn", hear)
            assert not told.is_set()
        async with asyncio.timeout(SOON):
            await told.wait()
        assert await other.fetchval("SELECT owner IS NULL AND due_at <= now() FROM saga_fn.saga WHERE id = $1", run.id)
        await other.remove_listener("saga_fn", hear)
    finally:
        await other.close()


async def test_a_stop_does_not_wait_for_a_retry(make: Make) -> None:
    shop = Shop(fails={"charge": 1})
    definition = make_saga(shop, retry=FixedRetry(max_attempts=2, delay=FOR_EVER))
    async with make(lease=FOR_EVER) as first:
        run = await first.register("shop", definition).start(Order("1"))
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).status is not SagaStatus.SUSPENDED:
                await asyncio.sleep(0.005)
    async with make() as second:
        second.register("shop", definition)
        await SagaAdmin(second).retry_step(run.id, "charge")
        await second.handle(definition).attach(run.id).result(SOON)


@pytest.mark.fault(48)
async def test_a_step_that_will_not_be_cancelled_does_not_hold_up_the_stop(make: Make) -> None:
    entered = asyncio.Event()
    release = asyncio.Event()
    attempts: list[int] = []

    @step
    async def stubborn(inp: Order) -> Done:
        attempts.append(1)
        entered.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return Done("stubborn")

    builder = SagaBuilder(Order)
    definition: SagaDefinition[Order, Done] = builder.build(
        output=builder.add_step(stubborn, depends_on=builder.initial)
    )
    async with make(lease=FOR_EVER, stop_timeout=SHORT) as first:
        run = await first.register("stubborn", definition).start(Order("1"))
        await entered.wait()
    assert not release.is_set(), "left although it still runs"
    async with make() as second:
        handle = second.register("stubborn", definition)
        release.set()
        assert await handle.attach(run.id).result(SOON) == Done("stubborn")
        assert len(attempts) == 2


async def test_what_is_due_is_run_up_to_the_limit(make: Make) -> None:
    definition = make_saga(Shop())
    async with make(concurrency=0) as orchestrator:
        handle = orchestrator.register("shop", definition)
        runs = await handle.start_many([Order(str(number)) for number in range(5)])
        assert await orchestrator.run_due(limit=2) == 2
        ended = [(await run.snapshot()).status is SagaStatus.COMPLETED for run in runs]
        assert ended.count(True) == 2
        assert await orchestrator.run_due(limit=100) == 3
        assert await orchestrator.run_due(limit=100) == 0


async def test_two_schedulers_at_once_run_each_saga_once(make: Make) -> None:
    shop = Shop()
    definition = make_saga(shop)
    async with make(concurrency=0) as one, make(concurrency=0) as two:
        handle = one.register("shop", definition)
        two.register("shop", definition)
        await handle.start_many([Order(str(number)) for number in range(40)])
        counts = await asyncio.gather(*(each.run_due(limit=10) for each in (one, two) for _ in range(3)))
        while driven := await one.run_due():
            counts.append(driven)
        assert sum(counts) == 40
        assert len(shop.keys) == len(set(shop.keys)) == 120


async def test_run_until_idle_waits_through_retries(make: Make) -> None:
    shop = Shop(fails={"charge": 2})
    async with make(concurrency=0) as orchestrator:
        retry = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=50))
        run = await orchestrator.register("shop", make_saga(shop, retry=retry)).start(Order("1"))
        await orchestrator.run_until_idle()
        assert (await run.snapshot()).status is SagaStatus.COMPLETED


async def test_run_until_idle_beside_a_worker_waits_for_what_the_worker_runs(make: Make) -> None:
    async with make() as orchestrator:
        retry = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=50))
        handle = orchestrator.register("shop", make_saga(Shop(fails={"charge": 2}), retry=retry))
        runs = await handle.start_many([Order(str(number)) for number in range(5)])
        await orchestrator.run_until_idle()
        for run in runs:
            assert (await run.snapshot()).status is SagaStatus.COMPLETED


async def test_resume_leaves_a_saga_that_somebody_works_on_alone(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition = make_saga(shop)
    async with make(lease=FOR_EVER) as worker, make(concurrency=0) as other:
        run = await worker.register("shop", definition).start(Order("1"))
        handle = other.register("shop", definition)
        await _until_charging(shop)
        assert not await other.resume(run.id)
        assert shop.hold is not None
        shop.hold.set()
        assert isinstance(await handle.attach(run.id).outcome(SOON), Completed)
        assert not await other.resume(run.id), "it has ended"
        assert shop.done == ["reserve", "charge", "ship"]


async def test_resume_does_not_hurry_a_retry(make: Make) -> None:
    shop = Shop(fails={"charge": 1})
    async with make(concurrency=0) as orchestrator:
        policy = FixedRetry(max_attempts=2, delay=FOR_EVER)
        run = await orchestrator.register("shop", make_saga(shop, retry=policy)).start(Order("1"))
        assert await orchestrator.resume(run.id)
        before = await run.snapshot()
        await orchestrator.resume(run.id)
        after = await run.snapshot()
        assert (after.status, after.deadline_at) == (SagaStatus.SUSPENDED, before.deadline_at)
        assert shop.done == ["reserve"]


async def test_a_worker_goes_on_with_what_it_was_given_while_a_pool_has_no_prepared_statements(dsn: str) -> None:
    """As behind PgBouncer in transaction mode: no statement is kept, and each call may have another connection."""
    shop = Shop(fails={"ship": 1})
    async with asyncpg.create_pool(dsn, min_size=3, max_size=3, statement_cache_size=0) as pool:
        async with SagaOrchestrator(pool, listen=False, poll_interval=SHORT) as one:
            retry = FixedRetry(max_attempts=2, delay=SHORT)
            definition = make_saga(shop, retry=retry)
            handle = one.register("shop", definition)
            runs = await handle.start_many([Order(str(number)) for number in range(20)])
            for run in runs:
                assert isinstance(await run.outcome(SOON), Completed)
            assert (await one.health()).ok
        async with pool.acquire() as connection:
            kept = await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql")
        assert kept <= 1, "the question itself"
