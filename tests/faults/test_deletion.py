"""A process dies by SIGKILL while it deletes: nothing is gone that the archive has not, and no start runs a second time."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from saga_fn import SagaAdmin, SagaOrchestrator, StepRef, saga, step
from tests.faults.processes import processes
from tests.support.ages import later
from tests.support.until import SOON

SAGAS = 8


@step
async def note(number: int) -> int:
    return number


@saga("order")
def order(number: StepRef[int]) -> StepRef[int]:
    return note(number)


def archived(path: Path) -> set[UUID]:
    if not path.exists():
        return set()
    found: set[UUID] = set()
    for line in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # torn by a process that was killed
            found.add(UUID(json.loads(line)["id"]))
    return found


async def orphans(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    """Journal entries without their saga."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM saga_fn.saga_journal AS j WHERE NOT EXISTS (SELECT 1 FROM saga_fn.saga AS s WHERE s.id = j.saga_id)"
    )
    return found


POINTS = [("before", "1"), ("before", "2"), ("half-way", "2"), ("archived", "1"), ("archived", "3"), ("deleting", "1")]


@pytest.mark.parametrize("point, after", POINTS)
async def test_killed_while_it_deletes(dsn: str, tmp_path: Path, point: str, after: str) -> None:
    path = tmp_path / "orders.jsonl"
    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register(order)
        runs = await handle.start_many(range(SAGAS), idempotency_key=str)
        every = {run.id for run in runs}
        for run in runs:
            await run.result(SOON)
        await later(orchestrator, timedelta(days=8))
        admin = SagaAdmin(orchestrator)
        connection = await asyncpg.connect(dsn)
        with processes("tests.faults.deleter", dsn) as deleters:
            lock = connection.transaction()
            await lock.start()
            if point == "deleting":
                await connection.execute("LOCK TABLE saga_fn.saga_tombstone IN ACCESS EXCLUSIVE MODE")
            await deleters.died(deleters.begin(str(path), point, after))
            await lock.rollback()
            there = {row.id async for row in admin.list_all()}
            assert every - there <= archived(path)
            assert await orphans(connection) == 0
            for number in range(SAGAS):
                assert not (await handle.start(number, idempotency_key=str(number))).created
            await deleters.ended(deleters.begin(str(path), "", "0"))
        assert {row.id async for row in admin.list_all()} == set()
        assert archived(path) == every
        assert await orphans(connection) == 0
        again = await handle.start_many(range(SAGAS), idempotency_key=str)
        assert [(run.created, run.retained) for run in again] == [(False, False)] * SAGAS
        await connection.close()
