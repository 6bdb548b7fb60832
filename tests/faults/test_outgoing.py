"""A process dies by SIGKILL around a message: each is published under one id, at least once, and in the order of its saga."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from saga_fn import SagaOrchestrator
from tests.faults.broker_file import published, until_all_is_published
from tests.faults.processes import processes
from tests.faults.publisher import EXPECTED, order

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
    assert found.keys() == {run.id for run in runs}
    for messages in found.values():
        assert [body.encode() for body in messages.values()] == EXPECTED
