"""One suite, every store: in memory, PostgreSQL as embedded (or yours), and the oldest PostgreSQL we support."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from saga_fn import MemoryStore
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.protocol import Store
from tests.store.traps import lay_traps
from tests.support.servers import GIVEN, NO_PG15, Server, database

SERVERS = ["server", "server batches"] + ([] if GIVEN else [pytest.param("pg15", marks=NO_PG15)])


@pytest.fixture(params=["memory", *SERVERS])
async def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """An empty store; one of them sends what is alone as a batch of one."""
    if request.param == "memory":
        yield MemoryStore()
        return
    name, _, batches = request.param.partition(" ")
    monkeypatch.setattr("saga_fn.store.postgres._LONERS", not batches)
    server = request.getfixturevalue(name)
    assert isinstance(server, Server)
    async for dsn in database(server, migrated=True):
        postgres = PostgresStore(dsn)
        await postgres.open(migrate=False, listen=None)
        yield postgres
        await postgres.close()


@pytest.fixture
async def trapped(any_dsn: str) -> AsyncIterator[str]:
    """A database with such traps, which only who asks for its settings falls into."""
    await lay_traps(any_dsn)
    yield any_dsn
    connection = await asyncpg.connect(any_dsn, server_settings={"search_path": "pg_catalog"})
    database = await connection.fetchval("SELECT pg_catalog.current_database()")
    await connection.execute(f'ALTER DATABASE "{database}" RESET search_path')
    await connection.close()
