"""One suite, every store: in memory, PostgreSQL as embedded (or yours), and the oldest PostgreSQL we support."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from saga_fn.store import Store
from tests.store.traps import lay_traps
from tests.support.driver import ask_again
from tests.support.stores import STORES, TRIED


@pytest.fixture(params=TRIED)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty store."""
    async for opened in STORES[request.param](request):
        yield opened


@pytest.fixture
def types_are_asked() -> Iterator[None]:
    """The driver asks for types on each connection, as it does where the library is used."""
    with ask_again():
        yield


@pytest.fixture
async def trapped(any_dsn: str, types_are_asked: None) -> AsyncIterator[str]:
    """A database with such traps, which only who asks for its settings falls into."""
    await lay_traps(any_dsn)
    yield any_dsn
    connection = await asyncpg.connect(any_dsn, server_settings={"search_path": "pg_catalog"})
    database = await connection.fetchval("SELECT pg_catalog.current_database()")
    await connection.execute(f'ALTER DATABASE "{database}" RESET search_path')
    await connection.close()
