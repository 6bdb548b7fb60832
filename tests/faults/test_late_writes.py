"""A process that has lost its lease, and does not know it, writes the saga after another one has ended it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from saga_fn import Completed, SagaAdmin, SagaOrchestrator
from tests.faults.late_booker import STEPS, TABLE, bookings
from tests.faults.processes import Processes, processes
from tests.support.shop import Order
from tests.support.until import SOON

OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'saga_fn s_'"
"""Transactions of steps."""


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as made:
        await made.execute(TABLE)
        yield made


@pytest.fixture
def bookers(dsn: str) -> Iterator[Processes]:
    with processes("tests.faults.late_booker", dsn) as made:
        yield made


async def test_what_a_process_writes_after_it_has_lost_its_lease_is_rolled_back(
    dsn: str, pool: asyncpg.Pool[asyncpg.Record], bookers: Processes, tmp_path: Path
) -> None:
    told = tmp_path / "late"
    async with asyncio.timeout(2 * SOON), SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        run = await orchestrator.register("booking", bookings()).start(Order("goes"))
        late = bookers.begin(str(told))
        while not told.exists():
            await asyncio.sleep(0.02)
        other = bookers.begin()
        assert isinstance(await run.outcome(SOON), Completed)
        assert told.read_text() == "", "it was stopped all the time, with its row written"
        while not told.read_text():
            os.kill(late, signal.SIGCONT)
            await asyncio.sleep(0.02)
        assert told.read_text() == "refused"
        while await pool.fetchval(OPEN):
            await asyncio.sleep(0.02)
        rows = await pool.fetch("SELECT step, pid FROM booking ORDER BY step")
        assert [(row["step"], row["pid"]) for row in rows] == [(step, other) for step in STEPS]
        assert bookers.lives(late)
        assert await SagaAdmin(orchestrator).verify(run.id) == []
