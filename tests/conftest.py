"""PostgreSQL for the tests: one server a test run (and xdist worker), one database a test.

By default an embedded server runs. `SAGA_FN_TEST_DSN` names a server of your own instead; its user has to be allowed
to create databases. Nothing but databases called `saga_fn_test_...` is touched there.

- `dsn`: a database of the test's own with the schema in it
- `dsn15`: the same, on PostgreSQL 15
- `empty_dsn`: the same, without the schema
- `any_dsn`: the same as `dsn`; the test runs once for each version of PostgreSQL that is found
- `server`, `pg15`: the servers themselves

Beside them, `consumer`: a project of somebody else's that has installed the wheel.

When a test with a database ends, nobody may be connected to it any more: a connection left open fails the test. And
every saga in it must be what its journal folds to, unless the test is marked `raw_rows`: it writes rows of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from saga_fn.embedded import EmbeddedPostgres
from tests.consumer import consumer as consumer  # noqa: PLC0414 - a fixture, for whoever asks
from tests.journals import disagreements

PG15 = Path("/usr/lib/postgresql/15/bin")
GIVEN = os.environ.get("SAGA_FN_TEST_DSN")
NO_PG15 = pytest.mark.skipif(not PG15.exists(), reason=f"no PostgreSQL 15 in {PG15}")

# Workers are killed here, machines are not: what the server has been told survives its clients without fsync. That a
# commit waits for the disk is measured by the benchmark, with a server of its own.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}

LEAK_PATIENCE = 5.0
"""Seconds that a closed connection may take to vanish on the server."""


class Server:
    """A server that tests make databases on."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._numbers = itertools.count()
        self._template: str | None = None

    def dsn_of(self, database: str) -> str:
        """How to connect to one of its databases."""
        return urlsplit(self.dsn)._replace(path=f"/{database}").geturl()

    async def create(self, *, migrated: bool) -> str:
        """Make a new database and give its name."""
        name = f"saga_fn_test_{os.getpid()}_{next(self._numbers)}"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {await self._migrated() if migrated else 'template0'}")
        return name

    async def drop(self, name: str) -> list[str]:
        """Drop a database; gives a line for each connection that somebody had left open."""
        connection = await asyncpg.connect(self.dsn)
        try:
            leaks: list[str] = []
            deadline = asyncio.get_running_loop().time() + LEAK_PATIENCE
            while asyncio.get_running_loop().time() < deadline:
                rows = await connection.fetch(
                    "SELECT application_name, state, query FROM pg_stat_activity"
                    " WHERE datname = $1 AND backend_type = 'client backend'",
                    name,
                )
                leaks = [f"{row['application_name']!r}, {row['state']}: {row['query']}" for row in rows]
                if not leaks:
                    break
                await asyncio.sleep(0.02)
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            return leaks
        finally:
            await connection.close()

    async def drop_template(self) -> None:
        """Leave a server of the user's own as it was found."""
        if self._template is not None:
            await self._execute(f"DROP DATABASE {self._template} WITH (FORCE)")

    async def _migrated(self) -> str:
        """The database that others are copied from: copying files is quicker than running migrations."""
        if self._template is None:
            from saga_fn.store.migrate import migrate

            name = await self.create(migrated=False)
            connection = await asyncpg.connect(self.dsn_of(name))
            try:
                await migrate(connection)
            finally:
                await connection.close()
            self._template = name
        return self._template

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server of this run: yours, or the embedded one."""
    if GIVEN is not None:
        given = Server(GIVEN)
        yield given
        asyncio.run(given.drop_template())
        return
    with EmbeddedPostgres(settings=SETTINGS) as embedded:
        yield Server(embedded.dsn)


@pytest.fixture(scope="session")
def pg15() -> Iterator[Server]:
    """The oldest PostgreSQL we support, from a Debian package."""
    if not PG15.exists():
        pytest.skip(f"no PostgreSQL 15 in {PG15}")
    with EmbeddedPostgres(bin_dir=PG15, settings=SETTINGS) as embedded:
        yield Server(embedded.dsn)


async def database(server: Server, *, migrated: bool, folds: bool = False) -> AsyncIterator[str]:
    """A database for one test; `folds` asks that afterwards each saga in it is what its journal folds to."""
    name = await server.create(migrated=migrated)
    yield server.dsn_of(name)
    wrong = await disagreements(server.dsn_of(name)) if folds else []
    wrong += [f"left open: {leak}" for leak in await server.drop(name)]
    if wrong:
        pytest.fail("\n".join(wrong))


def _folds(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("raw_rows") is None


@pytest.fixture
async def dsn(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[str]:
    """A database with the schema in it."""
    async for name in database(server, migrated=True, folds=_folds(request)):
        yield name


@pytest.fixture
async def dsn15(request: pytest.FixtureRequest, pg15: Server) -> AsyncIterator[str]:
    """A database with the schema in it, on the oldest PostgreSQL we support."""
    async for name in database(pg15, migrated=True, folds=_folds(request)):
        yield name


@pytest.fixture
async def empty_dsn(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[str]:
    """A database with nothing in it."""
    async for name in database(server, migrated=False, folds=_folds(request)):
        yield name


@pytest.fixture(params=["server"] if GIVEN else ["server", pytest.param("pg15", marks=NO_PG15)])
async def any_dsn(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A database with the schema in it, on each PostgreSQL in turn."""
    chosen = request.getfixturevalue(request.param)
    assert isinstance(chosen, Server)
    async for name in database(chosen, migrated=True, folds=_folds(request)):
        yield name
