"""Everything works through PgBouncer in transaction mode: nothing is kept in a session, and no name is looked up in one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from saga_fn import AttentionKind, SagaOrchestrator, StoreRefusedError
from saga_fn.store.migrate import migrate
from tests.store.pooler import CONNECTIONS, pooled
from tests.store.traps import NOTED, OFTEN, Note, caught, waiting_saga, work
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON

NEVER = timedelta(seconds=20 * SOON)
pytestmark = pytest.mark.usefixtures("types_are_asked")


@pytest.fixture
async def pooler(any_dsn: str) -> AsyncIterator[str]:
    """The database through a pooler in transaction mode."""
    async with pooled(any_dsn) as dsn:
        yield dsn


async def test_it_hands_each_transaction_to_another_session(pooler: str) -> None:
    connection = await asyncpg.connect(pooler, statement_cache_size=0)
    try:
        sessions = {await connection.fetchval("SELECT pg_backend_pid()") for _ in range(4 * CONNECTIONS)}
        assert len(sessions) == CONNECTIONS
    finally:
        await connection.close()


@pytest.mark.fault(34)
@pytest.mark.parametrize("listens", ["by listen_dsn", "not at all"])
async def test_everything_works_through_it(pooler: str, any_dsn: str, listens: str) -> None:
    await migrate(f"{pooler}&statement_cache_size=0", schema="pooled")
    await migrate(f"{pooler}&statement_cache_size=0", schema="pooled")
    async with asyncio.timeout(4 * SOON):
        await work(
            pooler,
            schema="pooled",
            listen=listens == "by listen_dsn",
            statement_cache_size=0,
            listen_dsn=any_dsn if listens == "by listen_dsn" else None,
        )


async def test_starts_and_events_wake_a_process_that_listens_around_it(
    pooler: str, any_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saga_fn.engine.worker._SHORTEST_WAIT", NEVER.total_seconds())
    async with (
        SagaOrchestrator(
            pooler, statement_cache_size=0, listen_dsn=any_dsn, poll_interval=NEVER, lease=timedelta(minutes=5)
        ) as worker,
        SagaOrchestrator(pooler, statement_cache_size=0, listen=False, concurrency=0) as other,
        asyncio.timeout(3 * SOON),
    ):
        shop, waiting = worker.register("shop", make_saga(Shop())), worker.register("waiting", waiting_saga())
        starter = other.register("shop", make_saga(Shop()))
        for number in range(3):  # the first may be found because listening has begun
            started = await starter.start(Order(str(number)))
            assert await shop.attach(started.id).result() == Done("ship")
            waits = await waiting.start(Order(str(number)))
            await other.to(waits.id, NOTED).send(Note("sent"))
            assert await waits.result() == Note("sent")
        assert worker.engine.store.deaf is None


async def test_who_listens_through_it_is_told_and_works_all_the_same(
    pooler: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saga_fn.store.listener._ECHO_LIMIT", 0.5)
    caplog.set_level(logging.WARNING, "saga_fn")
    async with SagaOrchestrator(pooler, statement_cache_size=0, poll_interval=OFTEN) as orchestrator:
        async with asyncio.timeout(SOON):
            while orchestrator.engine.store.deaf is None:
                await asyncio.sleep(0.02)
        shop = orchestrator.register("shop", make_saga(Shop()))
        later = await shop.start(Order("1"), delay=timedelta(milliseconds=300))
        assert await later.result(SOON) == Done("ship")
        health = await orchestrator.health()
        assert health.ok
        assert [each.kind for each in health.attention] == [AttentionKind.DEAF]


async def starts(dsn: str, number: int) -> None:
    """Start so many sagas, one after another, with the statement cache that the driver has by default."""
    async with SagaOrchestrator(dsn, listen=False, concurrency=0) as orchestrator:
        shop = orchestrator.register("shop", make_saga(Shop()))
        for each in range(number):
            await shop.start(Order(str(each)), idempotency_key=str(each))


async def test_prepared_statements_are_refused_with_the_mend(pooler: str) -> None:
    with pytest.raises(StoreRefusedError, match="statement_cache_size=0"):
        await starts(pooler, 200)


async def test_a_start_in_a_callers_transaction_works_through_it(pooler: str, any_dsn: str) -> None:
    async with SagaOrchestrator(
        pooler, statement_cache_size=0, listen_dsn=any_dsn, poll_interval=OFTEN
    ) as orchestrator:
        shop = orchestrator.register("shop", make_saga(Shop()))
        connection = await asyncpg.connect(pooler, statement_cache_size=0)
        try:
            for number in range(3 * CONNECTIONS):  # each transaction is in another session
                async with connection.transaction():
                    run = await shop.start(Order(str(number)), idempotency_key=str(number), connection=connection)
                assert await run.result(SOON) == Done("ship")
        finally:
            await connection.close()


async def test_nothing_is_looked_up_by_search_path_through_it(any_dsn: str, trapped: str) -> None:
    async with pooled(trapped) as dsn, asyncio.timeout(4 * SOON):
        await migrate(f"{dsn}&statement_cache_size=0", schema="other")
        await work(dsn, schema="other", statement_cache_size=0, listen_dsn=trapped)
        await work(dsn, schema="saga_fn", statement_cache_size=0, listen=False)
    assert not await caught(trapped)


async def test_a_setting_of_the_dsn_that_it_does_not_take_is_named(pooler: str) -> None:
    with pytest.raises(StoreRefusedError, match=r"unsupported startup parameter.*\nHINT: take it out of the DSN"):
        async with SagaOrchestrator(f"{pooler}&options=-c%20geqo%3Doff", statement_cache_size=0, listen=False):
            pass
