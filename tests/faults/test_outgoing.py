"""A process dies by SIGKILL around a message: each is published under one id, at least once, and in the order of its saga."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

import asyncpg
import pytest

from saga_fn import SagaOrchestrator
from tests.faults.processes import processes
from tests.faults.publisher import EXPECTED, order
from tests.support.until import SOON

SAGAS = 20

POINTS = [
    ("committed", "1"),
    ("committed", "4"),
    ("committed", "6"),
    ("publishing", "1"),
    ("publishing", "5"),
    ("publishing", "20"),
    ("published", "1"),
    ("published", "7"),
    ("deleted", "1"),
    ("deleted", "9"),
]


def published(path: Path) -> dict[str, dict[str, str]]:
    """By saga, the payload of each message by its id, in the order in which each came first."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for line in path.read_text().splitlines():
        saga_id, message_id, body = line.split(" ", 2)
        assert found[saga_id].setdefault(message_id, body) == body, "an id is that of one message"
    return found


async def until_all_is_published(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    async with asyncio.timeout(2 * SOON):
        while await connection.fetchval(
            "SELECT (SELECT count(*) FROM saga_fn.saga_outgoing)"
            " + (SELECT count(*) FROM saga_fn.saga WHERE ended_at IS NULL)"
        ):
            await asyncio.sleep(0.02)


@pytest.mark.predecessor(16)
@pytest.mark.parametrize("point, after", POINTS)
async def test_killed_around_a_message(dsn: str, tmp_path: Path, point: str, after: str) -> None:
    path = tmp_path / "broker"
    connection = await asyncpg.connect(dsn)
    async with SagaOrchestrator(dsn, concurrency=0) as starter:
        with processes("tests.faults.publisher", dsn) as publishers:
            runs = await starter.register(order).start_many(range(SAGAS))
            await publishers.died(publishers.begin(str(path), point, after))
            publishers.begin(str(path), "", "0")
            publishers.begin(str(path), "", "0")
            await until_all_is_published(connection)
    await connection.close()
    found = published(path)
    assert found.keys() == {str(run.id) for run in runs}
    for messages in found.values():
        assert [body.encode() for body in messages.values()] == EXPECTED
