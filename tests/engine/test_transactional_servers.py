"""Transactional steps on each PostgreSQL that is supported, and through PgBouncer in transaction mode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from saga_fn import (
    Compensated,
    Completed,
    ExponentialRetry,
    SagaAdmin,
    SagaOrchestrator,
    StepRef,
    TransactionalContext,
    saga,
    step,
)
from tests.store.pooler import pooled
from tests.support.shop import Done, Order
from tests.support.until import suspended

AT_ONCE = ExponentialRetry(max_attempts=4, base_delay=timedelta(milliseconds=1))


async def write(ctx: TransactionalContext, what: str) -> None:
    await ctx.connection.execute("INSERT INTO entry VALUES ($1)", what)


async def unbook(inp: Order, out: Done, ctx: TransactionalContext) -> None:
    await write(ctx, f"{out.what} no more")


@step(transactional=True, compensate=unbook, timeout=timedelta(seconds=3), unknown_retry_policy=AT_ONCE)
async def book(inp: Order, ctx: TransactionalContext) -> Done:
    await write(ctx, f"booked, attempt {ctx.attempt}")
    if inp.order_id == "slow" and ctx.attempt == 1:
        await ctx.connection.execute("SELECT pg_sleep(3600)")
    if inp.order_id == "ends":
        await ctx.connection.execute("COMMIT")
    return Done(f"booked, attempt {ctx.attempt}")


@step(transactional=True, isolation="repeatable_read", timeout=timedelta(seconds=5))
async def charge(inp: Order, ctx: TransactionalContext) -> Done:
    await write(ctx, "charged")
    if inp.order_id == "refused":
        raise KeyError(inp.order_id)
    return Done("charged")


@saga("booking")
def booking(order: StepRef[Order]) -> StepRef[Done]:
    return charge(order, after=book(order))


@pytest.fixture
async def rows(any_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(any_dsn)
    await connection.execute("CREATE TABLE entry (what text)")
    yield connection
    await connection.execute("DROP TABLE entry")
    await connection.close()


async def entries(rows: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    return [row["what"] for row in await rows.fetch("SELECT what FROM entry ORDER BY what")]


async def works(orchestrator: SagaOrchestrator, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    """Each way of ending leaves what it should."""
    handle = orchestrator.register(booking)
    assert isinstance(await (await handle.start(Order("fine"))).outcome(), Completed)
    assert await entries(rows) == ["booked, attempt 1", "charged"]
    await rows.execute("DELETE FROM entry")
    assert isinstance(await (await handle.start(Order("slow"))).outcome(), Completed)
    assert await entries(rows) == ["booked, attempt 2", "charged"]
    await rows.execute("DELETE FROM entry")
    assert isinstance(await (await handle.start(Order("refused"))).outcome(), Compensated)
    assert await entries(rows) == ["booked, attempt 1", "booked, attempt 1 no more"]
    run = await handle.start(Order("ends"))
    await suspended(run)
    seen = await SagaAdmin(orchestrator).get_saga(run.id)
    assert (seen.parked, seen.last_error) == ("outcome_unknown", "TransactionEndedError")


LIMITS = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)"
NAMES = ["statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"]
DAY = str(24 * 60 * 60 * 1000)


@pytest.mark.parametrize("timeout, limit", [(timedelta(seconds=30), "35000"), (None, DAY)])
async def test_the_server_ends_what_hangs_soon_after_the_steps_own_time(
    timeout: timedelta | None, limit: str, any_dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Each repeat after a conflict is a transaction of its own, with all of the time."""
    told: list[dict[str, str]] = []

    @step(transactional=True, timeout=timeout)
    async def look(inp: Order, ctx: TransactionalContext) -> Done:
        told.append({row["name"]: row["setting"] for row in await ctx.connection.fetch(LIMITS, NAMES)})
        if len(told) == 1:
            await ctx.connection.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")
        return Done("seen")

    @saga("looking")
    def looking(order: StepRef[Order]) -> StepRef[Done]:
        return look(order)

    async with SagaOrchestrator(any_dsn) as orchestrator:
        run = await orchestrator.register(looking).start(Order("1"))
        assert isinstance(await run.outcome(), Completed)
    names = NAMES if rows.get_server_version().major >= 17 else NAMES[:2]
    assert told == [dict.fromkeys(names, limit)] * 2


async def test_they_work_on_each_server(any_dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    async with SagaOrchestrator(any_dsn, transactional_connections=2) as orchestrator:
        await works(orchestrator, rows)


async def test_they_work_through_a_pooler(any_dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    async with (
        pooled(any_dsn) as pooler,
        SagaOrchestrator(pooler, statement_cache_size=0, listen=False, transactional_connections=2) as orchestrator,
    ):
        await works(orchestrator, rows)
