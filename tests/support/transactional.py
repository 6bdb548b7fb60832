"""Transactional steps that write lines into a table of the service's own, and what was written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from saga_fn import (
    ExponentialRetry,
    FixedRetry,
    SagaBuilder,
    SagaDefinition,
    TransactionalContext,
    step,
)
from tests.support.shop import Done, Order
from tests.support.until import SOON

ONCE = FixedRetry(max_attempts=1)
SLEEP = b"SELECT pg_sleep"
SAGA_WRITE = b"until_commit"
"""In the write of a saga, and in no claim of one and no renewal of a lease."""
AT_ONCE = ExponentialRetry(max_attempts=4, base_delay=timedelta(milliseconds=1))


@pytest.fixture
async def rows(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the service's own, to the table that its steps write."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.entry (what text, saga uuid)")
    yield connection
    await connection.execute("DROP SCHEMA shop CASCADE")
    await connection.close()


async def entries(rows: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    return [row["what"] for row in await rows.fetch("SELECT what FROM shop.entry ORDER BY what")]


async def write(ctx: TransactionalContext, what: str) -> None:
    await ctx.connection.execute("INSERT INTO shop.entry VALUES ($1, $2)", what, ctx.saga_id)


@step(transactional=True)
async def book(inp: Order, ctx: TransactionalContext) -> Done:
    await write(ctx, f"{ctx.step_id} {inp.order_id}")
    return Done(ctx.step_id)


async def no_transaction_is_left(rows: asyncpg.Connection[asyncpg.Record]) -> None:
    """The server has noticed by itself that no client is at the other end."""
    async with asyncio.timeout(SOON):
        while await rows.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'saga_fn s%'"
        ):
            await asyncio.sleep(0.05)


def saga_of(*steps: Any, **options: Any) -> SagaDefinition[Order, None]:  # Any: steps of all types
    builder = SagaBuilder(Order, **options)
    for number, each in enumerate(steps):
        builder.add_step(each, input_map=lambda ctx: ctx.initial_data, step_id=f"s{number}")
    return builder.build()
