"""Servers of PostgreSQL on which tests make databases, and what is seen to when a test gives one back."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from asyncpg.pool import PoolConnectionProxy

from saga_fn.embedded import EmbeddedPostgres
from tests.support.durations import of_servers
from tests.support.journals import disagreements

PoolConnection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

ASKED: Final = "saga_fn_asked"
"""The role whose members have to prove their password."""
GIVEN = os.environ.get("SAGA_FN_TEST_DSN")

# Workers are killed here, machines are not: what the server has been told survives its clients without fsync. That a
# commit waits for the disk is measured by the benchmark, with a server of its own.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "max_wal_size": "128MB",  # its files may lie in memory
    "autovacuum": "off",  # plans are judged on tables that were not analysed; a test that wants statistics makes them
}

MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that have to be free in memory for files to lie there; a server takes about a twentieth of it."""

LEAK_PATIENCE = 20.0
"""Seconds that a closed connection may take to vanish on the server."""


@contextmanager
def embedded(bin_dir: Path | None = None) -> Generator[EmbeddedPostgres]:
    """An embedded server with `SETTINGS`.

    Its files lie in memory, if there is room: the time of these tests goes into making, emptying and removing files.
    """
    before, tempfile.tempdir = tempfile.tempdir, folder_in_memory() or tempfile.tempdir
    server = EmbeddedPostgres(bin_dir=bin_dir, settings=SETTINGS)
    try:
        server.start()
    finally:
        tempfile.tempdir = before
    try:
        _ask_no_password(server)
        yield server
    finally:
        with of_servers.stopping():
            server.stop()


def folder_in_memory() -> str | None:
    """A folder whose files lie in memory, if there is room for those of a server."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    return str(MEMORY) if roomy else None


def _ask_no_password(server: EmbeddedPostgres) -> None:
    """Take every client that reaches the socket: to prove a password costs a connection as much as all else that opens it.

    The members of a role called `ASKED` prove it all the same.
    """
    [socket] = parse_qs(urlsplit(server.dsn).query)["host"]
    trust(Path(socket).with_name("data"))
    os.kill(server.pid, signal.SIGHUP)


def trust(data: Path) -> None:
    """Write into a data folder that all but the members of `ASKED` are taken; a server that runs reads it at SIGHUP."""
    rules = f"local all +{ASKED} scram-sha-256\nlocal all,replication all trust\n"
    (data / "pg_hba.conf").write_text(rules, encoding="utf-8")


class Server:
    """A server that tests make databases on."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._numbers = itertools.count()
        self._template: str | None = None
        self._in_parts: str | None = None
        """Another one, in which the journal is partitioned."""
        self._untouched: str = ""
        """The catalog's fingerprint of a database that was only migrated."""
        self._free: list[str] = []
        """Migrated databases that a test has left as it found them, but for rows, which are gone."""

    def dsn_of(self, database: str) -> str:
        """How to connect to one of its databases."""
        return urlsplit(self.dsn)._replace(path=f"/{database}").geturl()

    async def create(self, *, migrated: bool, new: bool = False, in_parts: bool = False) -> str:
        """Give the name of a new database, or of one that is as good as new: making one takes a quarter of a second."""
        if migrated and self._free and not new and not in_parts:
            return self._free.pop()
        name = f"saga_fn_test_{os.getpid()}_{next(self._numbers)}"
        template = await (self._migrated_in_parts() if in_parts else self._migrated()) if migrated else "template0"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    async def give_back(self, name: str, *, folds: bool) -> list[str]:
        """Empty a database, or drop it if a test changed more than rows; gives a line for all that is wrong.

        Wrong is a connection that was left open and, with `folds`, a saga that is not what its journal folds to. One
        connection does all of this: making one takes longer than what it is asked for.
        """
        async with asyncpg.create_pool(self.dsn_of(name), min_size=1, max_size=1) as pool:
            async with pool.acquire() as connection:
                leaks = await _leaks(connection)
            wrong = (await disagreements(pool) if folds else []) + [f"left open: {leak}" for leak in leaks]
            async with pool.acquire() as connection:
                # Without a template nothing is known to be untouched, and no database has the schema.
                reusable = (
                    self._template is not None and not leaks and self._untouched == await _fingerprint(connection)
                )
                if reusable and (written := await _written(connection)):
                    await connection.execute(f"TRUNCATE {', '.join(written)}")
        if reusable:
            self._free.append(name)
        else:
            await self._execute(f"DROP DATABASE {name} WITH (FORCE)")
        return wrong

    async def drop_all(self) -> None:
        """Leave a server of the user's own as it was found."""
        for name in (*self._free, *filter(None, (self._template, self._in_parts))):
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

    async def _migrated_in_parts(self) -> str:
        """The same, with a journal in partitions."""
        if self._in_parts is None:
            from saga_fn.store.migrate import migrate

            name = await self.create(migrated=False)
            await migrate(self.dsn_of(name), journal_partitions=True)
            self._in_parts = name
        return self._in_parts

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _leaks(connection: PoolConnection) -> list[str]:
    """A line for each other connection to the database; one that was closed vanishes a moment later."""
    leaks: list[str] = []
    deadline = asyncio.get_running_loop().time() + LEAK_PATIENCE
    pause = 0.001
    while asyncio.get_running_loop().time() < deadline:
        rows = await connection.fetch(
            "SELECT application_name, state, query FROM pg_stat_get_activity(NULL) WHERE pid <> pg_backend_pid()"
            " AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND backend_type = 'client backend'"
        )
        leaks = [f"{row['application_name']!r}, {row['state']}: {row['query']}" for row in rows]
        if not leaks:
            break
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.02)
    return leaks


async def _written(connection: PoolConnection) -> list[str]:
    """The tables that hold rows, or have held some; what a migration writes is part of the fingerprint."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'saga_fn'::regnamespace AND relkind = 'r'"
        " AND relname NOT IN ('migration', 'setting') AND pg_relation_size(oid) > 0 ORDER BY relname"
    )
    return [f"saga_fn.{row['relname']}" for row in rows]


async def _fingerprint(connection: asyncpg.Connection | PoolConnection) -> str:
    """All that a database holds beside the rows of sagas: objects, rights, settings, statistics, migrations.

    Rows that TRUNCATE leaves alone are told by the transactions that wrote them: to spell them out takes most of a test's end.
    """
    found: object = await connection.fetchval(
        """
        SELECT md5(concat_ws(
            '|',
            (SELECT string_agg(concat(relname, relkind, relowner, relacl, reloptions), ',' ORDER BY oid)
             FROM pg_class WHERE oid >= 16384),
            (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_attribute WHERE attrelid >= 16384),
            (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_constraint WHERE oid >= 16384),
            (SELECT concat(count(*), ' ', sum(xmin::text::bigint)) FROM pg_index WHERE indexrelid >= 16384),
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


async def database(
    server: Server, *, migrated: bool, folds: bool = False, new: bool = False, in_parts: bool = False
) -> AsyncIterator[str]:
    """A database for one test; `folds` asks that afterwards each saga in it is what its journal folds to.

    `new`: no test has used it before, for TRUNCATE leaves indexes whose size the planner does not know. `in_parts`: its journal is
    partitioned.
    """
    name = await server.create(migrated=migrated, new=new, in_parts=in_parts)
    yield server.dsn_of(name)
    if wrong := await server.give_back(name, folds=folds):
        pytest.fail("\n".join(wrong))
