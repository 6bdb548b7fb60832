"""Servers of PostgreSQL on which tests make databases, and what is seen to when a test gives one back."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.support.journals import disagreements

PG15 = Path("/usr/lib/postgresql/15/bin")
GIVEN = os.environ.get("SAGA_FN_TEST_DSN")
NO_PG15 = pytest.mark.skipif(not PG15.exists(), reason=f"no PostgreSQL 15 in {PG15}")

# Workers are killed here, machines are not: what the server has been told survives its clients without fsync. That a
# commit waits for the disk is measured by the benchmark, with a server of its own.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "autovacuum": "off",  # plans are judged on tables that nobody has analysed; a test that wants statistics makes them
}

LEAK_PATIENCE = 20.0
"""Seconds that a closed connection may take to vanish on the server."""


class Server:
    """A server that tests make databases on."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._numbers = itertools.count()
        self._template: str | None = None
        self._untouched: str = ""
        """The catalog's fingerprint of a database that was only migrated."""
        self._free: list[str] = []
        """Migrated databases that a test has left as it found them, but for rows, which are gone."""

    def dsn_of(self, database: str) -> str:
        """How to connect to one of its databases."""
        return urlsplit(self.dsn)._replace(path=f"/{database}").geturl()

    async def create(self, *, migrated: bool, new: bool = False) -> str:
        """Give the name of a new database, or of one that is as good as new: making one takes a quarter of a second."""
        if migrated and self._free and not new:
            return self._free.pop()
        name = f"saga_fn_test_{os.getpid()}_{next(self._numbers)}"
        template = await self._migrated() if migrated else "template0"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    async def give_back(self, name: str) -> list[str]:
        """Empty a database, or drop it if a test changed more than rows; gives a line for each connection left open."""
        leaks = await self._leaks(name)
        if not leaks and self._untouched:
            connection = await asyncpg.connect(self.dsn_of(name))
            try:
                if await _fingerprint(connection) == self._untouched:
                    await connection.execute(f"TRUNCATE {', '.join(await _tables(connection))}")
                    self._free.append(name)
                    return []
            finally:
                await connection.close()
        await self._execute(f"DROP DATABASE {name} WITH (FORCE)")
        return leaks

    async def _leaks(self, name: str) -> list[str]:
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
            return leaks
        finally:
            await connection.close()

    async def drop_all(self) -> None:
        """Leave a server of the user's own as it was found."""
        for name in (*self._free, *([] if self._template is None else [self._template])):
            await self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def _migrated(self) -> str:
        """The database that others are copied from: copying files is quicker than running migrations."""
        if self._template is None:
            from saga_fn.store.migrate import migrate

            name = await self.create(migrated=False)
            connection = await asyncpg.connect(self.dsn_of(name))
            try:
                await migrate(connection)
                self._untouched = await _fingerprint(connection)
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


async def _tables(connection: asyncpg.Connection) -> list[str]:
    """The tables whose rows a test may write; what a migration writes is part of the fingerprint."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'saga_fn'::regnamespace AND relkind = 'r'"
        " AND relname NOT IN ('migration', 'setting') ORDER BY relname"
    )
    return [f"saga_fn.{row['relname']}" for row in rows]


async def _fingerprint(connection: asyncpg.Connection) -> str:
    """All that a database holds beside the rows of sagas: objects, rights, settings, statistics, migrations."""
    found: object = await connection.fetchval(
        """
        SELECT md5(concat_ws(
            '|',
            (SELECT string_agg(concat(relname, relkind, relowner, relacl, reloptions), ',' ORDER BY oid)
             FROM pg_class WHERE oid >= 16384),
            (SELECT string_agg(concat(attrelid, attname, atttypid, attnotnull, attacl), ',' ORDER BY attrelid, attnum)
             FROM pg_attribute WHERE attrelid >= 16384),
            (SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY oid) FROM pg_constraint WHERE oid >= 16384),
            (SELECT string_agg(pg_get_indexdef(indexrelid), ',' ORDER BY indexrelid)
             FROM pg_index WHERE indexrelid >= 16384),
            (SELECT string_agg(concat(nspname, nspowner, nspacl), ',' ORDER BY oid) FROM pg_namespace),
            (SELECT count(*) FROM pg_proc WHERE oid >= 16384), (SELECT count(*) FROM pg_operator WHERE oid >= 16384),
            (SELECT count(*) FROM pg_type WHERE oid >= 16384), (SELECT count(*) FROM pg_cast WHERE oid >= 16384),
            (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_policy), (SELECT count(*) FROM pg_event_trigger),
            (SELECT count(*) FROM pg_extension), (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_default_acl),
            (SELECT count(*) FROM pg_statistic WHERE starelid >= 16384),
            (SELECT string_agg(s::text, ',') FROM pg_db_role_setting AS s),
            (SELECT concat(datacl, datconnlimit) FROM pg_database WHERE datname = current_database()),
            (SELECT string_agg(m::text, ',' ORDER BY m::text) FROM saga_fn.migration AS m),
            (SELECT string_agg(s::text, ',' ORDER BY s::text) FROM saga_fn.setting AS s)
        ))
        """
        if await connection.fetchval("SELECT to_regclass('saga_fn.setting') IS NOT NULL")
        else "SELECT ''"
    )
    assert isinstance(found, str)
    return found


async def database(server: Server, *, migrated: bool, folds: bool = False, new: bool = False) -> AsyncIterator[str]:
    """A database for one test; `folds` asks that afterwards each saga in it is what its journal folds to.

    `new`: no test has used it before, for TRUNCATE leaves indexes whose size the planner does not know.
    """
    name = await server.create(migrated=migrated, new=new)
    yield server.dsn_of(name)
    wrong = await disagreements(server.dsn_of(name)) if folds else []
    wrong += [f"left open: {leak}" for leak in await server.give_back(name)]
    if wrong:
        pytest.fail("\n".join(wrong))
