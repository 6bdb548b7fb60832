"""With a pool of the caller's and without `async with`, nothing runs in the background and everything works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from saga_fn import (
    Completed,
    FixedRetry,
    SagaAdmin,
    SagaError,
    SagaNotFoundError,
    SagaOrchestrator,
    SagaStatus,
    StoreError,
)
from saga_fn.store import database
from saga_fn.store._queries import Queries
from saga_fn.store.connection import Connection
from saga_fn.store.migrate import migrate
from saga_fn.store.pool_check import check_codecs
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as only_one:
        yield only_one


async def test_a_scheduler_drives_what_is_due_over_a_pool_of_one(pool: asyncpg.Pool) -> None:
    shop = Shop(fails={"charge": 1})
    orchestrator = SagaOrchestrator(pool, listen=False)
    retry = FixedRetry(max_attempts=2, delay=timedelta(milliseconds=20))
    handle = orchestrator.register("shop", make_saga(shop, retry=retry))
    run = await handle.start(Order("1"))
    assert shop.done == [], "a start runs nothing in the caller's coroutine"
    assert await orchestrator.run_due() == 1
    assert (await run.snapshot()).status is SagaStatus.SUSPENDED
    async with asyncio.timeout(SOON):
        while not await orchestrator.run_due():  # before the retry delay is over, by the database's clock
            await asyncio.sleep(0.005)
    assert isinstance(await run.outcome(SOON), Completed)
    assert await orchestrator.run_due() == 0
    assert await SagaAdmin(orchestrator).verify(run.id) == []


async def test_run_drives_the_saga_in_the_callers_coroutine(pool: asyncpg.Pool) -> None:
    orchestrator = SagaOrchestrator(pool, listen=False)
    handle = orchestrator.register("shop", make_saga(Shop()))
    assert await handle.run(Order("1"), timeout=10) == Done("ship")


async def test_resume_is_a_claim(pool: asyncpg.Pool) -> None:
    orchestrator = SagaOrchestrator(pool, listen=False)
    run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
    assert await orchestrator.resume(run.id)
    assert not await orchestrator.resume(run.id), "it has ended"


@pytest.mark.predecessor(26)
async def test_a_start_joins_the_callers_transaction(dsn: str, pool: asyncpg.Pool) -> None:
    orchestrator = SagaOrchestrator(pool, listen=False)
    handle = orchestrator.register("shop", make_saga(Shop()))
    await handle.start(Order("0"))
    connection = await asyncpg.connect(dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        undone = await handle.start(Order("1"), connection=connection)
        await transaction.rollback()
        async with connection.transaction():
            kept = await handle.start(Order("2"), connection=connection)
    finally:
        await connection.close()
    with pytest.raises(SagaNotFoundError, match="not committed yet, or was rolled back"):
        await orchestrator.get_snapshot(undone.id)
    assert await orchestrator.run_due() == 2
    assert (await kept.snapshot()).status is SagaStatus.COMPLETED


async def test_a_dsn_has_to_be_entered(dsn: str) -> None:
    orchestrator = SagaOrchestrator(dsn)
    orchestrator.register("shop", make_saga(Shop()))
    with pytest.raises(SagaError, match="async with"):
        await orchestrator.start(saga_name="shop", initial_data={"order_id": "1"})


async def test_a_schema_that_is_missing_is_named_with_the_mend(empty_dsn: str) -> None:
    with pytest.raises(SagaError, match=r"HINT: .*migrate"):
        async with SagaOrchestrator(empty_dsn):
            pass
    async with SagaOrchestrator(empty_dsn, migrate=True, schema="Other_1") as orchestrator:
        assert (await orchestrator.health()).ok
    connection = await asyncpg.connect(empty_dsn)
    await migrate(connection, schema="Other_1")
    await connection.close()


@pytest.mark.parametrize("schema", ['a"b', "pg_x", "", "a" * 64, "a;b"])
def test_a_schema_name_that_cannot_be_is_refused(schema: str) -> None:
    with pytest.raises(SagaError, match="HINT"):
        SagaOrchestrator("postgresql://nowhere", schema=schema)


async def test_a_dsn_that_does_not_answer_says_so() -> None:
    with pytest.raises(SagaError, match="does not answer"):
        async with SagaOrchestrator("postgresql://nobody@127.0.0.1:1/nothing"):
            pass


@pytest.mark.parametrize("each_time", [False, True])
async def test_codecs_of_the_pools_own_are_told_without_entering(dsn: str, each_time: bool) -> None:
    async def prepare(connection: Any) -> None:  # Any: a pool's connection, or a proxy of it
        await connection.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str)

    init, setup = (None, prepare) if each_time else (prepare, None)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2, init=init, setup=setup) as pool:
        orchestrator = SagaOrchestrator(pool, listen=False)
        handle = orchestrator.register("shop", make_saga(Shop()))
        for call in (orchestrator.run_due, orchestrator.run_until_idle, lambda: handle.start(Order("1"))):
            with pytest.raises(
                StoreError, match=r"a codec of the pool gives uuid as str.*\nHINT: give saga_fn a pool without"
            ):
                await call()
        health = await orchestrator.health()
        assert not health.ok
        assert "a codec of the pool" in " ".join(health.problems)
        assert pool.get_idle_size() == pool.get_size(), "each connection went back"


async def test_each_connection_of_a_pool_is_judged_once(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[object] = []

    async def counted(queries: Queries, connection: Connection, *, whose: str = "pool") -> None:
        judged.append(connection)
        await check_codecs(queries, connection, whose=whose)

    monkeypatch.setattr(database, "check_codecs", counted)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        orchestrator = SagaOrchestrator(pool, listen=False)
        orchestrator.register("shop", make_saga(Shop()))
        for _ in range(3):
            await orchestrator.run_due()
        async with orchestrator:
            await orchestrator.run_due()
    assert len(judged) == 1
