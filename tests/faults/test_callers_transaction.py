"""A service that dies by SIGKILL around the COMMIT of its own transaction: all that it has done in it has happened, or nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from saga_fn import Completed, SagaAdmin, SagaOrchestrator, SagaRun
from tests.faults.caller import KEY, NAME, STATEMENTS, TABLE
from tests.faults.processes import Processes, processes
from tests.faults.waiter import Answer, Start, answer, sleepy, waits
from tests.support.until import SOON, suspended

OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as made:
        await made.execute(TABLE)
        yield made


@pytest.fixture
def callers(dsn: str) -> Iterator[Processes]:
    with processes("tests.faults.caller", dsn) as made:
        yield made


@pytest.fixture
def workers(dsn: str) -> Iterator[Processes]:
    with processes("tests.faults.waiter", dsn) as made:
        yield made


@pytest.mark.parametrize("point", ["before", "in", "after", *STATEMENTS])
async def test_what_a_service_starts_and_sends_stands_or_falls_with_its_own_row(
    point: str, dsn: str, pool: asyncpg.Pool[asyncpg.Record], callers: Processes, workers: Processes
) -> None:
    async with asyncio.timeout(2 * SOON), SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        handle = orchestrator.register(waits)
        starts = orchestrator.register(sleepy)
        admin = SagaAdmin(orchestrator)
        runs = [await handle.start(Start()), await handle.start(Start(), aggregation_id=KEY)]
        await callers.died(callers.begin(point, str(runs[0].id)))
        while await pool.fetchval(OPEN, NAME):
            await asyncio.sleep(0.02)  # its session may still be at its last statement
        stands = await pool.fetchval("SELECT count(*) FROM mine")
        assert stands == (0 if point == "before" else 1) or point == "in"
        sent = await pool.fetchval("SELECT count(*) FROM saga_fn.saga_sent")
        assert sent == 2 * stands or point in STATEMENTS
        started = [row["id"] for row in await pool.fetch("SELECT id FROM saga_fn.saga WHERE name = 'sleepy'")]
        assert len(started) == stands
        workers.begin()
        if not stands:
            for run in runs:
                await suspended(run)
                assert (await told(admin, run))["event_received"] == 0
                await orchestrator.to(run.id, answer).send(Answer(7), event_id="m1")
        for run in runs:
            assert await run.result(SOON) == 7
            assert (await told(admin, run))["event_received"] == 1
            assert await admin.verify(run.id) == []
        for each in started:
            assert isinstance(await starts.attach(each).outcome(SOON), Completed)
        while await pool.fetchval("SELECT count(*) FROM saga_fn.saga_sent"):
            await asyncio.sleep(0.02)


async def told(admin: SagaAdmin, run: SagaRun[int]) -> Counter[str]:
    """How often the journal of the saga has each kind of entry."""
    return Counter(entry.kind for entry in (await admin.get_saga(run.id)).step_history)
