"""A worker hears of work at once, wherever it comes from, and finds it by itself when it does not hear."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from saga_fn import FixedRetry, SagaAdmin, SagaHandle, SagaOrchestrator, SagaRun, SagaStatus
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON
from tests.support.wire import wired

RARELY = timedelta(minutes=5)
"""A worker that looks so rarely has to be told."""
OFTEN = timedelta(milliseconds=50)
LISTENING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


async def _settled(dsn: str, *, listeners: int) -> list[int]:
    """Wait until so many connections listen; gives their pids."""
    observer = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(SOON):
            while len(pids := [row["pid"] for row in await observer.fetch(LISTENING)]) != listeners:
                await asyncio.sleep(0.01)
        return pids
    finally:
        await observer.close()


async def _suspended(run: SagaRun[Done]) -> None:
    async with asyncio.timeout(SOON):
        while (await run.snapshot()).status is not SagaStatus.SUSPENDED:
            await asyncio.sleep(0.01)


def _at_rest(worker: SagaOrchestrator) -> SagaHandle[Order, Done]:
    retry = FixedRetry(max_attempts=3, delay=timedelta(hours=1))
    return worker.register("shop", make_saga(Shop(fails={"charge": 1}), retry=retry))


async def test_a_start_elsewhere_wakes_a_worker_that_looks_rarely(dsn: str) -> None:
    definition = make_saga(Shop())
    async with (
        SagaOrchestrator(dsn, concurrency=0, listen=False) as starter,
        SagaOrchestrator(dsn, poll_interval=RARELY) as worker,
    ):
        worker.register("shop", definition)
        await _settled(dsn, listeners=1)
        await asyncio.sleep(0.3)  # it has slowed down by now
        run = await starter.register("shop", definition).start(Order("1"))
        assert await run.result(SOON) == Done("ship")


async def test_many_starts_elsewhere_wake_it_too(dsn: str) -> None:
    definition = make_saga(Shop())
    async with (
        SagaOrchestrator(dsn, concurrency=0, listen=False) as starter,
        SagaOrchestrator(dsn, poll_interval=RARELY) as worker,
    ):
        worker.register("shop", definition)
        await _settled(dsn, listeners=1)
        runs = await starter.register("shop", definition).start_many([Order(str(number)) for number in range(50)])
        assert [await run.result(SOON) for run in runs] == [Done("ship")] * 50


async def test_a_verb_elsewhere_wakes_it(dsn: str) -> None:
    async with (
        SagaOrchestrator(dsn, concurrency=0, listen=False) as operator,
        SagaOrchestrator(dsn, poll_interval=RARELY) as worker,
    ):
        run = await _at_rest(worker).start(Order("1"))
        await _settled(dsn, listeners=1)
        await _suspended(run)
        await SagaAdmin(operator).retry_step(run.id, "charge")
        assert await run.result(SOON) == Done("ship")


async def test_an_event_elsewhere_wakes_it(dsn: str) -> None:
    async with (
        SagaOrchestrator(dsn, concurrency=0, listen=False) as sender,
        SagaOrchestrator(dsn, poll_interval=RARELY) as worker,
    ):
        run = await _at_rest(worker).start(Order("1"))
        await _settled(dsn, listeners=1)
        await _suspended(run)
        token = (await sender.get_snapshot(run.id)).step_execution_token
        assert token is not None
        assert await sender.notify(run.id, token, {"go": "on"})
        assert await run.result(SOON) == Done("ship")


async def test_a_retry_that_is_due_is_not_slept_through(dsn: str) -> None:
    async with SagaOrchestrator(dsn, poll_interval=RARELY, listen=False) as worker:
        retry = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=300))
        run = await worker.register("shop", make_saga(Shop(fails={"charge": 2}), retry=retry)).start(Order("1"))
        assert await run.result(SOON) == Done("ship")


@pytest.mark.fault(32)
async def test_without_listening_it_is_found_by_looking(dsn: str) -> None:
    definition = make_saga(Shop())
    async with (
        SagaOrchestrator(dsn, concurrency=0, listen=False) as starter,
        SagaOrchestrator(dsn, poll_interval=OFTEN, listen=False) as worker,
    ):
        worker.register("shop", definition)
        await _settled(dsn, listeners=0)
        run = await starter.register("shop", definition).start(Order("1"))
        assert await run.result(SOON) == Done("ship")


@pytest.mark.fault(32)
async def test_a_listening_connection_that_is_ended_comes_back(dsn: str) -> None:
    definition = make_saga(Shop())
    async with (
        SagaOrchestrator(dsn, concurrency=0, listen=False) as starter,
        SagaOrchestrator(dsn, poll_interval=RARELY) as worker,
    ):
        worker.register("shop", definition)
        (first,) = await _settled(dsn, listeners=1)
        observer = await asyncpg.connect(dsn)
        await observer.execute("SELECT pg_terminate_backend($1, 5000)", first)
        await observer.close()
        (second,) = await _settled(dsn, listeners=1)
        assert second != first
        run = await starter.register("shop", definition).start(Order("1"))
        assert await run.result(SOON) == Done("ship")


async def test_a_listening_connection_that_breaks_before_it_listens_is_tried_again(dsn: str) -> None:
    async with wired(dsn) as wire:
        wire.lose("request", b"LISTEN")
        async with SagaOrchestrator(wire.dsn, poll_interval=RARELY):
            await _settled(dsn, listeners=1)
            assert wire.cuts == 1


@pytest.mark.parametrize("size", [2, 3])
async def test_in_a_pool_of_the_callers_listening_takes_one_connection_and_gives_it_back(dsn: str, size: int) -> None:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=size) as pool:
        async with SagaOrchestrator(pool, poll_interval=RARELY, max_connections=1) as worker:
            definition = make_saga(Shop())
            handle = worker.register("shop", definition)
            await _settled(dsn, listeners=1)
            async with SagaOrchestrator(dsn, concurrency=0, listen=False) as starter:
                run = await starter.register("shop", definition).start(Order("1"))
                assert await run.result(SOON) == Done("ship")
            assert await handle.run(Order("2"), timeout=SOON) == Done("ship")
        assert pool.get_idle_size() == pool.get_size(), "everything was given back"
