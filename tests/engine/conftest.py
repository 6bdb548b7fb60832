"""Every test of this folder runs on both stores: in memory, and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from saga_fn import MemoryStore, SagaAdmin, SagaOrchestrator

Make = Callable[..., SagaOrchestrator]


@pytest.fixture(params=["memory", "postgres"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes orchestrators that share one store of the test's own, with short waits."""
    defaults: dict[str, Any] = {"lease": timedelta(seconds=2), "poll_interval": timedelta(milliseconds=100)}
    store: MemoryStore | str = MemoryStore() if request.param == "memory" else request.getfixturevalue("dsn")

    def orchestrator(**options: Any) -> SagaOrchestrator:
        return SagaOrchestrator(store, **{**defaults, **options})

    return orchestrator


async def assert_journal_agrees(orchestrator: SagaOrchestrator, *saga_ids: UUID) -> None:
    """Every saga's journal, folded through the core, gives the state that is stored."""
    admin = SagaAdmin(orchestrator)
    for saga_id in saga_ids:
        assert await admin.verify(saga_id) == []
