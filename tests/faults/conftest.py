"""Fixtures of the crash tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from saga_fn import SagaOrchestrator
from tests.faults.ledger import TABLES
from tests.faults.processes import processes
from tests.faults.stage import Stage


@pytest.fixture
async def stage(dsn: str) -> AsyncIterator[Stage]:
    """Where sagas of `tests.faults.sagas` are run by processes of `tests.faults.worker`."""
    async with (
        asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool,
        SagaOrchestrator(dsn, concurrency=0) as orchestrator,
    ):
        await pool.execute(TABLES)
        with processes("tests.faults.worker", dsn) as workers:
            yield Stage(pool, orchestrator, workers)


@pytest.fixture
async def stranger(dsn: str) -> AsyncIterator[SagaOrchestrator]:
    """It knows no definition: all that it can do for a saga is to leave it a message."""
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        yield orchestrator
