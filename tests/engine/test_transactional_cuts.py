"""A statement of a transactional step that is cut short: the server does not go on with it, whatever overtakes what."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest

from saga_fn import Completed, FixedRetry, SagaOrchestrator, TransactionalContext, step
from tests.support.shop import Done, Order
from tests.support.transactional import saga_of
from tests.support.until import SOON, until
from tests.support.wire import Wire, wired

STATEMENT = "SELECT pg_sleep(3600)"
RUNNING = f"SELECT count(*) FROM pg_stat_activity WHERE query = '{STATEMENT}'"


@step(transactional=True)
async def waits(inp: Order, ctx: TransactionalContext) -> Done:
    await ctx.connection.execute(STATEMENT)
    return Done("never")


async def nothing_runs(rows: asyncpg.Connection[asyncpg.Record]) -> None:
    async with asyncio.timeout(SOON):
        while await rows.fetchval(RUNNING):
            await asyncio.sleep(0.01)


async def something_runs(rows: asyncpg.Connection[asyncpg.Record]) -> None:
    async with asyncio.timeout(SOON):
        while not await rows.fetchval(f"{RUNNING} AND state = 'active'"):
            await asyncio.sleep(0.01)


async def arrives_after_the_cancel(wire: Wire) -> None:
    await until(lambda: wire.cancels > 0)
    wire.arrive()


async def test_a_statement_that_arrives_after_its_cancel_is_cancelled_again_and_its_connection_serves_on(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    servers: list[int] = []

    @step(transactional=True, retry_policy=FixedRetry(max_attempts=2, delay=timedelta(milliseconds=1)))
    async def is_too_late(inp: Order, ctx: TransactionalContext) -> Done:
        servers.append(ctx.connection.get_server_pid())
        if len(servers) == 1:
            async with asyncio.timeout(0.05):
                await ctx.connection.execute(STATEMENT)
        return Done("in time")

    async with wired(dsn) as wire, SagaOrchestrator(wire.dsn, transactional_connections=1) as orchestrator:
        wire.hold_back(STATEMENT.encode())
        overtaking = asyncio.create_task(arrives_after_the_cancel(wire))
        run = await orchestrator.register("shop", saga_of(is_too_late)).start(Order("o1"))
        assert isinstance(await run.outcome(timeout=SOON), Completed)
        await overtaking
        assert wire.cancels > 1
    assert servers[0] == servers[1]


@pytest.mark.parametrize("borrowed", [False, True])
@pytest.mark.parametrize("reached", [True, False])
async def test_a_stop_leaves_no_statement_running(
    reached: bool, borrowed: bool, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The request to cancel comes too early, or it does not reach the server at all, as if the process were killed."""
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(wired(dsn))
        source: str | asyncpg.Pool = wire.dsn
        if borrowed:
            source = await stack.enter_async_context(asyncpg.create_pool(wire.dsn, min_size=0, max_size=4))
        if reached:
            wire.hold_back(STATEMENT.encode())
        async with (
            asyncio.TaskGroup() as beside,
            SagaOrchestrator(source, stop_timeout=timedelta(milliseconds=1)) as orchestrator,
        ):
            await orchestrator.register("shop", saga_of(waits)).start(Order("o1"))
            if reached:
                await until(lambda: wire.held_back)
                beside.create_task(arrives_after_the_cancel(wire))
            else:
                await something_runs(rows)
                wire.silent = True
        await nothing_runs(rows)


@pytest.mark.parametrize("own, found", [(None, "1s"), ("7s", "7s")])
async def test_the_server_looks_whether_the_client_of_a_step_is_there(
    own: str | None, found: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    intervals: list[str] = []

    @step(transactional=True)
    async def looks(inp: Order, ctx: TransactionalContext) -> Done:
        intervals.append(await ctx.connection.fetchval("SHOW client_connection_check_interval"))
        return Done("looked")

    settings = {} if own is None else {"client_connection_check_interval": own}
    async with (
        asyncpg.create_pool(dsn, min_size=0, max_size=4, server_settings=settings) as pool,
        SagaOrchestrator(pool) as orchestrator,
    ):
        run = await orchestrator.register("shop", saga_of(looks)).start(Order("o1"))
        assert isinstance(await run.outcome(timeout=SOON), Completed)
        assert intervals == [found]
        assert await pool.fetchval("SHOW client_connection_check_interval") == (own or "0")
