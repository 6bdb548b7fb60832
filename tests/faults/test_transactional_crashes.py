"""Processes that die by SIGKILL around the COMMIT of a transactional step: each row of the service is there exactly once.

`SAGA_FN_BOOKINGS=3400` does it with ten thousand steps, which takes some minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from saga_fn import SagaAdmin, SagaOrchestrator
from tests.faults.booker import STEPS, TABLE, bookings
from tests.faults.processes import Processes, processes
from tests.support.shop import Order
from tests.support.until import SOON

SAGAS = int(os.environ.get("SAGA_FN_BOOKINGS", "60"))
KILLS = max(6, SAGAS // 50)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as made:
        await made.execute(TABLE)
        yield made


@pytest.fixture
def bookers(dsn: str) -> Iterator[Processes]:
    with processes("tests.faults.booker", dsn) as made:
        yield made


@pytest.mark.timeout(3600)
async def test_each_row_is_there_once_whatever_moment_the_process_died_at(
    dsn: str, pool: asyncpg.Pool[asyncpg.Record], bookers: Processes
) -> None:
    draw = random.Random(17)
    orders = [Order("fails" if number % 5 == 0 else "goes") for number in range(SAGAS)]
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        runs = await orchestrator.register("booking", bookings()).start_many(orders)
        for number in range(KILLS):
            point = ("before", "in", "after")[number % 3]
            count = draw.randint(1, max(2, 3 * SAGAS // (2 * KILLS)))
            await bookers.died(bookers.begin(point, str(count)))
        bookers.begin()
        async with asyncio.timeout(SOON + SAGAS / 10):
            while await pool.fetchval("SELECT count(*) FROM saga_fn.saga WHERE ended_at IS NULL"):
                await asyncio.sleep(0.05)
        rows = await pool.fetch(
            "SELECT status, count(*) AS many FROM saga_fn.saga WHERE name = 'booking' GROUP BY status"
        )
        ended = {row["status"]: row["many"] for row in rows}
        failing = sum(order.order_id == "fails" for order in orders)
        assert ended == {"COMPLETED": SAGAS - failing, "COMPENSATED": failing}
        wanted = {
            (run.id, step)
            for run, order in zip(runs, orders, strict=True)
            if order.order_id == "goes"
            for step in STEPS
        }
        found = [(row["saga"], row["step"]) for row in await pool.fetch("SELECT saga, step FROM booking")]
        assert len(found) == len(wanted)
        assert set(found) == wanted
        doubts = await pool.fetchval("SELECT count(*) FROM saga_fn.saga WHERE parked IS NOT NULL")
        assert doubts == 0
        admin = SagaAdmin(orchestrator)
        for run in draw.sample(runs, min(20, SAGAS)):
            assert await admin.verify(run.id) == []
