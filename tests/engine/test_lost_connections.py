"""Connections break, wherever in a conversation: nothing is lost, nothing is done twice, and the service is well again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Literal

import asyncpg
import pytest

from saga_fn import Completed, SagaOrchestrator, StoreUnavailableError
from saga_fn.engine.observe.of_attempts import AttemptBegun
from saga_fn.engine.observe.of_commits import CommitsWait
from tests.support.observed import Observed
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON
from tests.support.wire import Wire, wired

LEASE = timedelta(seconds=2)
OFTEN = timedelta(milliseconds=100)


@pytest.fixture
async def wire(dsn: str) -> AsyncIterator[Wire]:
    async with wired(dsn) as made:
        yield made


async def _terminate(dsn: str) -> None:
    """End every connection that the library has to the database, and wait until none is left of them."""
    observer = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(SOON):
            while not await observer.fetch(
                "SELECT pid, pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'saga_fn%'"
            ):
                await asyncio.sleep(0.01)  # it has not come back yet from the last time
    finally:
        await observer.close()


@pytest.mark.parametrize("which", ["request", "answer"])
async def test_a_start_whose_connection_breaks_is_settled(wire: Wire, which: Literal["request", "answer"]) -> None:
    shop = Shop()
    async with SagaOrchestrator(wire.dsn) as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        wire.lose(which, b"broken-start")
        run = await handle.start(Order("broken-start"))
        assert run.created
        assert await run.result(SOON) == Done("ship")
        assert wire.cuts == 1
        assert shop.done == ["reserve", "charge", "ship"]


@pytest.mark.fault(5, 6)
@pytest.mark.parametrize("which", ["request", "answer"])
async def test_a_commit_whose_connection_breaks_is_settled(wire: Wire, which: Literal["request", "answer"]) -> None:
    shop = Shop(returns=lambda what: Done(f"result-of-{what}"))
    async with SagaOrchestrator(wire.dsn) as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        wire.lose(which, b"result-of-charge")
        runs = await handle.start_many([Order(str(number)) for number in range(20)])
        for run in runs:
            assert await run.result(SOON) == Done("result-of-ship")
        assert wire.cuts == 1
        assert Counter(shop.done) == {"reserve": 20, "charge": 20, "ship": 20}, "what was committed is not done again"
        assert len(set(shop.keys)) == len(shop.keys)


@pytest.mark.fault(11)
async def test_all_connections_ended_again_and_again_while_sagas_run(dsn: str) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with SagaOrchestrator(dsn, concurrency=64, lease=LEASE, poll_interval=OFTEN) as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        runs = await handle.start_many([Order(str(number)) for number in range(50)])
        for round_ in range(5):
            await _terminate(dsn)
            if round_ == 2:
                shop.hold.set()
        for run in runs:
            assert isinstance(await run.outcome(SOON), Completed)
        assert set(Counter(shop.keys).values()) <= {1, 2}
        connection = await asyncpg.connect(dsn)
        recorded = await connection.fetch(
            "SELECT saga_id, step_id, count(*) FROM saga_fn.saga_journal WHERE kind = 'step_succeeded' GROUP BY 1, 2"
        )
        await connection.close()
        assert [row["count"] for row in recorded] == [1] * 150


async def test_a_connection_that_broke_while_nobody_used_it_is_replaced_unnoticed(dsn: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        run = await handle.start(Order("1"))
        assert (await orchestrator.health()).ok
        await _terminate(dsn)
        assert (await orchestrator.health()).ok
        assert (await run.snapshot()).id == run.id


@pytest.mark.fault(10)
async def test_while_the_database_is_away_nothing_more_is_taken_on(wire: Wire) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with SagaOrchestrator(wire.dsn, concurrency=20, poll_interval=OFTEN) as orchestrator:
        told = Observed(orchestrator)
        handle = orchestrator.register("shop", make_saga(shop))
        runs = await handle.start_many([Order(str(number)) for number in range(40)])
        await told.until(AttemptBegun, lambda begun: begun.step == "charge", times=20)
        wire.down = True
        wire.cut()
        shop.hold.set()
        await told.until(CommitsWait)
        assert "commits wait for the database" in (await orchestrator.health()).problems
        for answer in await asyncio.gather(*(handle.start(Order("late")) for _ in range(50)), return_exceptions=True):
            assert isinstance(answer, StoreUnavailableError), "the caller hears of it, and nothing queues up"
        assert len(orchestrator.engine.held) == 20
        assert orchestrator.engine.starting == 0
        wire.down = False
        for run in runs:
            assert isinstance(await run.outcome(SOON), Completed)


@pytest.mark.fault(21)
@pytest.mark.parametrize("kind", ["dsn", "pool"])
async def test_connections_made_while_the_database_took_no_writes_are_replaced(any_dsn: str, kind: str) -> None:
    """As in a failover: a session stays read-only for as long as it lives, though the database is no longer."""
    hold = asyncio.Event()
    shop = Shop(hold=hold)
    observer = await asyncpg.connect(any_dsn)
    name = await observer.fetchval("SELECT current_database()")
    async with asyncio.timeout(3 * SOON), AsyncExitStack() as stack:
        stack.push_async_callback(observer.close)
        source: str | asyncpg.Pool = any_dsn
        if kind == "pool":
            pool = source = await asyncpg.create_pool(any_dsn, min_size=2, max_size=4)
            stack.callback(pool.terminate)
        orchestrator = await stack.enter_async_context(SagaOrchestrator(source, lease=LEASE, poll_interval=OFTEN))
        handle = orchestrator.register("shop", make_saga(shop))
        runs = await handle.start_many([Order(str(number)) for number in range(5)])
        await observer.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await observer.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        hold.set()
        while "the database is read-only" not in " ".join((await orchestrator.health()).problems):
            await asyncio.sleep(0.05)
        await observer.execute("SET default_transaction_read_only = off")
        await observer.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        for run in runs:
            assert await run.result(SOON) == Done("ship")
        while not (await orchestrator.health()).ok:
            await asyncio.sleep(0.05)
