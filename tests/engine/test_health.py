"""What `health` says of a process, in every condition it can be in: it reports, and never raises for what it reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Self

import asyncpg
import pytest
from typing_extensions import override

from saga_fn import AttentionKind, FixedRetry, Health, MemoryStore, SagaOrchestrator
from saga_fn.engine import health as telling
from saga_fn.store.migrate import migrate
from tests.support.shop import Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until
from tests.support.wire import wired

OFTEN = timedelta(milliseconds=50)


async def becomes(orchestrator: SagaOrchestrator, condition: Callable[[Health], bool]) -> Health:
    """What health says as soon as it says so."""
    async with asyncio.timeout(SOON):
        while not condition(health := await orchestrator.health()):
            await asyncio.sleep(0.02)
    return health


async def test_a_process_at_work_says_how_many_sagas_it_has(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        assert await orchestrator.health() == Health(
            ok=True, database=True, schema=True, worker=True, in_flight=0, oldest_due=None, problems=()
        )
        runs = await handle.start_many([Order(str(number)) for number in range(5)])
        assert (await orchestrator.health()).in_flight == 5
        shop.hold.set()
        for run in runs:
            await run.result(SOON)
        await until(lambda: not orchestrator.engine.held)
        assert (await orchestrator.health()).in_flight == 0


async def test_what_nobody_works_on_shows_since_when_it_is_due(make: Make) -> None:
    async with make(concurrency=0) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        first = await handle.start(Order("1"))
        await handle.start(Order("2"))
        health = await orchestrator.health()
        assert health.ok, "a process that only starts is well; the backlog is the workers' alarm"
        assert health.oldest_due == (await first.snapshot()).deadline_at


async def test_a_saga_that_waits_for_its_retry_is_no_backlog(make: Make) -> None:
    shop = Shop(fails={"charge": 1})
    async with make() as orchestrator:
        later = FixedRetry(max_attempts=2, delay=timedelta(hours=1))
        run = await orchestrator.register("shop", make_saga(shop, retry=later)).start(Order("1"))
        await suspended(run)
        await until(lambda: not orchestrator.engine.held)  # it has heard of its commit, too
        health = await orchestrator.health()
        assert (health.ok, health.in_flight, health.oldest_due) == (True, 0, None)


async def test_a_database_that_goes_away_and_comes_back(dsn: str) -> None:
    shop = Shop(hold=asyncio.Event())
    assert shop.hold is not None
    async with wired(dsn) as wire, SagaOrchestrator(wire.dsn, poll_interval=OFTEN) as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        wire.down = True
        wire.cut()
        ill = await becomes(orchestrator, lambda health: not health.worker)
        assert (ill.ok, ill.database, ill.schema, ill.in_flight) == (False, False, True, 1)
        assert any("PostgreSQL does not answer" in problem for problem in ill.problems)
        assert any("the worker cannot look for due sagas" in problem for problem in ill.problems)
        shop.hold.set()
        ill = await becomes(orchestrator, lambda health: "commits wait for the database" in health.problems)
        wire.down = False
        well = await becomes(orchestrator, lambda health: health.ok)
        assert (well.database, well.worker, well.problems) == (True, True, ())
        await run.result(SOON)


async def test_before_and_after_its_life(dsn: str) -> None:
    orchestrator = SagaOrchestrator(dsn)
    assert "is not entered" in (await orchestrator.health()).problems[0]
    async with orchestrator:
        assert (await orchestrator.health()).ok
    assert not (await orchestrator.health()).ok


async def test_a_pool_needs_no_entering(dsn: str) -> None:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
        assert (await SagaOrchestrator(pool).health()).ok


async def test_a_schema_that_is_missing_is_not_taken_for_a_database_that_is_away(empty_dsn: str) -> None:
    async with asyncpg.create_pool(empty_dsn, min_size=1, max_size=2) as pool:
        orchestrator = SagaOrchestrator(pool)
        orchestrator.register("shop", make_saga(Shop()))
        health = await orchestrator.health()
        assert (health.ok, health.database, health.schema) == (False, True, False)
        assert "holds no saga_fn tables" in health.problems[0]
        await migrate(pool)
        assert (await orchestrator.health()).ok


@pytest.mark.parametrize(
    "offset, told", [(3600, "3600 s ahead of the database's"), (-3600, "3600 s behind the database's"), (3, None)]
)
async def test_a_clock_that_differs_from_the_databases_is_named(
    any_dsn: str, monkeypatch: pytest.MonkeyPatch, offset: int, told: str | None
) -> None:
    class Elsewhere(datetime):
        @classmethod
        @override
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=offset)

    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        monkeypatch.setattr(telling, "datetime", Elsewhere)
        found = await orchestrator.health()
        assert found.ok
        assert [(each.kind, told is not None and told in each.text) for each in found.attention] == (
            [(AttentionKind.CLOCK, True)] if told else []
        )


async def test_a_store_in_memory_needs_no_entering(memory: MemoryStore) -> None:
    assert (await SagaOrchestrator(memory).health()).ok
