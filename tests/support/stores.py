"""The stores that tests run on.

One conformance suite holds each store of `STORES` to the same answers: another one is put in there, and nowhere else. A test that
takes the fixture `make` runs on those that a service uses: in memory, and in each PostgreSQL that is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from saga_fn import MemoryStore, SagaOrchestrator
from saga_fn.store import Store
from saga_fn.store.postgres import PostgresStore
from tests.support.journals import disagreements_in_memory
from tests.support.servers import GIVEN, Server, database
from tests.typing.right.store import CountingStore

Opened = Callable[[pytest.FixtureRequest], AsyncIterator[Store]]


async def _in_memory(_: pytest.FixtureRequest) -> AsyncIterator[Store]:
    yield MemoryStore()


async def _of_somebody_else(_: pytest.FixtureRequest) -> AsyncIterator[Store]:
    yield CountingStore(MemoryStore())


def _on(fixture: str, *, in_parts: bool = False, **options: Any) -> Opened:  # Any: options of the store
    async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
        server = request.getfixturevalue(fixture)
        assert isinstance(server, Server)
        async for dsn in database(server, migrated=True, in_parts=in_parts):
            postgres = PostgresStore(dsn, **options)
            await postgres.open(migrate=False, listen=None)
            yield postgres
            await postgres.close()

    return opened


STORES: dict[str, Opened] = {
    "memory": _in_memory,
    "somebody else's": _of_somebody_else,
    "server": _on("server"),
    "server, batches only, journal in parts": _on("server", batches_only=True, in_parts=True),
    "pg15": _on("pg15"),
    "pg15, journal in parts": _on("pg15", in_parts=True),
}
TRIED = [name for name in STORES if not name.startswith("pg15") or not GIVEN]
Make = Callable[..., SagaOrchestrator]


@pytest.fixture
def memory(request: pytest.FixtureRequest) -> Iterator[MemoryStore]:
    """A store in memory, in which each saga is afterwards what its journal folds to."""
    store = MemoryStore()
    yield store
    if request.node.get_closest_marker("raw_rows") is None:
        assert asyncio.run(disagreements_in_memory(store)) == []


@pytest.fixture(params=["memory", "dsn"] + ([] if GIVEN else ["dsn15"]))
def make(request: pytest.FixtureRequest) -> Make:
    """Makes orchestrators that share one store of the test's own, with short waits."""
    defaults: dict[str, Any] = {"lease": timedelta(seconds=2), "poll_interval": timedelta(milliseconds=100)}
    store: MemoryStore | str = request.getfixturevalue(request.param)

    def orchestrator(**options: Any) -> SagaOrchestrator:
        return SagaOrchestrator(store, **{**defaults, **options})

    return orchestrator
