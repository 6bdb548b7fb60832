"""Processes that die by SIGKILL around the COMMIT of a transactional step, and around the message that it brings.

Each row of the service is there exactly once. Each message is published under one id, and in the order of its saga.
`SAGA_FN_BOOKINGS=3400` does it with ten thousand steps, which takes some minutes.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from saga_fn import SagaAdmin, SagaOrchestrator
from saga_fn.outgoing import message_id
from tests.faults.booker import STEPS, TABLE, bookings
from tests.faults.broker_file import published, until_all_is_published
from tests.faults.processes import Processes, processes
from tests.support.shop import Order
from tests.support.until import SOON

SAGAS = int(os.environ.get("SAGA_FN_BOOKINGS", "60"))
COMMITS = ("before", "in", "after")
MESSAGES = ("publishing", "published", "deleted")
POINTS = (*COMMITS, *MESSAGES)
KILLS = max(len(POINTS), SAGAS // 50)

TOLD = {"goes": ["+s0", "+s1", "+s2"], "fails": ["+s0", "+s1", "-s1", "-s0"]}
"""A saga publishes in its order what came true in it, and nothing else."""
COMMITTED = """
SELECT saga_id, seq FROM saga_fn.saga_journal WHERE kind IN ('step_succeeded', 'compensation_succeeded') ORDER BY saga_id, seq
"""


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
async def test_each_row_is_there_once_and_each_message_came_in_order_whatever_moment_the_process_died_at(
    dsn: str, pool: asyncpg.Pool[asyncpg.Record], bookers: Processes, tmp_path: Path
) -> None:
    draw = random.Random(17)
    path = tmp_path / "broker"
    path.touch()
    orders: dict[UUID, str] = {}
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        handle = orchestrator.register("booking", bookings())
        for number in range(KILLS):
            point, some = POINTS[number % len(POINTS)], _share(number)
            kinds = ["fails" if place % 5 == 0 else "goes" for place in range(some)]
            started = await handle.start_many([Order(kind) for kind in kinds])
            orders.update(zip((run.id for run in started), kinds, strict=True))
            # These sagas alone bring three commits and three messages each, and a broker is given five messages at most.
            most = some // 2 if point == "publishing" else 3 * some // 2
            await bookers.died(bookers.begin(str(path), point, str(draw.randint(1, most))))
        bookers.begin(str(path))
        await until_all_is_published(pool, SOON + SAGAS / 10)
        rows = await pool.fetch("SELECT status, count(*) AS many FROM saga_fn.saga GROUP BY status")
        failing = list(orders.values()).count("fails")
        assert {row["status"]: row["many"] for row in rows} == {"COMPLETED": SAGAS - failing, "COMPENSATED": failing}
        wanted = {(saga, step) for saga, kind in orders.items() if kind == "goes" for step in STEPS}
        found = [tuple(row) for row in await pool.fetch("SELECT saga, step FROM booking")]
        assert len(found) == len(wanted)
        assert set(found) == wanted
        assert await _came(pool, path) == {saga: TOLD[kind] for saga, kind in orders.items()}
        admin = SagaAdmin(orchestrator)
        for saga in draw.sample(sorted(orders), min(20, SAGAS)):
            assert await admin.verify(saga) == []


def _share(number: int) -> int:
    """How many sagas are started before that kill."""
    return SAGAS * (number + 1) // KILLS - SAGAS * number // KILLS


async def _came(pool: asyncpg.Pool[asyncpg.Record], path: Path) -> dict[UUID, list[str]]:
    """The messages of each saga in the order in which they came first, each under the one id of its journal's entry."""
    ids: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for saga, entry in await pool.fetch(COMMITTED):
        ids[saga].append(message_id(saga, entry, 0))
    came = published(path)
    assert {saga: list(messages) for saga, messages in came.items()} == ids
    return {saga: list(messages.values()) for saga, messages in came.items()}
