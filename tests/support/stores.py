"""Fixtures: a test that takes `make` runs on all stores, in memory and in each PostgreSQL that is found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from saga_fn import MemoryStore, SagaOrchestrator
from tests.support.journals import disagreements_in_memory
from tests.support.servers import GIVEN, NO_PG15

Make = Callable[..., SagaOrchestrator]


@pytest.fixture
def memory(request: pytest.FixtureRequest) -> Iterator[MemoryStore]:
    """A store in memory, in which each saga is afterwards what its journal folds to."""
    store = MemoryStore()
    yield store
    if request.node.get_closest_marker("raw_rows") is None:
        assert asyncio.run(disagreements_in_memory(store)) == []


@pytest.fixture(params=["memory", "dsn"] + ([] if GIVEN else [pytest.param("dsn15", marks=NO_PG15)]))
def make(request: pytest.FixtureRequest) -> Make:
    """Makes orchestrators that share one store of the test's own, with short waits."""
    defaults: dict[str, Any] = {"lease": timedelta(seconds=2), "poll_interval": timedelta(milliseconds=100)}
    store: MemoryStore | str = request.getfixturevalue(request.param)

    def orchestrator(**options: Any) -> SagaOrchestrator:
        return SagaOrchestrator(store, **{**defaults, **options})

    return orchestrator
