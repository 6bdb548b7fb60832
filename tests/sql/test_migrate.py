"""Migrations: by many at once, cut short, refused, and as text."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

import asyncpg
import attrs
import pytest

from saga_fn import SagaOrchestrator
from saga_fn._tools.sql.generate import SCHEMA
from saga_fn._tools.sql.scan import read_migrations
from saga_fn.errors import (
    SchemaDiffersError,
    SchemaMissingError,
    SchemaTooNewError,
    ServerTooOldError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from saga_fn.store._migrations import MIGRATIONS
from saga_fn.store.connection import Connection
from saga_fn.store.migrate import check_schema, main, migrate
from saga_fn.store.migration import Migration
from tests.support.until import SOON

LATEST = MIGRATIONS[-1].number
TABLES = {
    "migration",
    "setting",
    "saga",
    "saga_journal",
    "saga_inbox",
    "saga_verb",
    "saga_operation",
    "saga_event",
    "saga_sent",
    "saga_rejection",
    "saga_plan",
    "saga_process",
    "saga_pause",
    "journal_era",
    "saga_attribute",
    "saga_retention",
    "saga_outgoing",
    "saga_tombstone",
}


@pytest.fixture
async def conn(empty_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(empty_dsn)
    yield connection
    await connection.close()


async def tables(connection: Connection, schema: str = "saga_fn") -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    return {row[0] for row in rows}


def later(statement: str, *, concurrently: bool = False) -> tuple[Migration, ...]:
    """Our migrations and one more."""
    number = LATEST + 1
    record = (
        f"INSERT INTO {{schema}}.migration (number, name, breaking, fingerprint) VALUES ({number}, 'later', false, 'f') "
        "ON CONFLICT (number) DO NOTHING"
    )
    more = Migration(
        number,
        "later",
        breaking=False,
        concurrently=concurrently,
        fingerprint="f",
        record=record,
        statements=(statement,),
    )
    return (*MIGRATIONS, more)


async def test_a_fresh_database_is_migrated_and_a_second_time_changes_nothing(conn: Connection) -> None:
    for _ in range(2):
        await migrate(conn)
        await check_schema(conn)
        assert await tables(conn) == TABLES
        rows = await conn.fetch("SELECT number FROM saga_fn.migration ORDER BY number")
        assert [row[0] for row in rows] == [migration.number for migration in MIGRATIONS]


async def test_a_dsn_a_connection_and_a_pool_will_do(empty_dsn: str, conn: Connection) -> None:
    await migrate(empty_dsn, schema="by_dsn")
    await migrate(conn, schema="by_connection")
    async with asyncpg.create_pool(empty_dsn, min_size=1, max_size=1) as pool:
        await migrate(pool, schema="by_pool")
    for schema in ("by_dsn", "by_connection", "by_pool"):
        await check_schema(conn, schema=schema)


@pytest.mark.fault(47)
async def test_eight_at_once_migrate_once(any_dsn: str) -> None:
    for number in range(6):
        schema = f"round_{number}"
        await asyncio.gather(*(migrate(any_dsn, schema=schema) for _ in range(8)))
        connection = await asyncpg.connect(any_dsn)
        try:
            await check_schema(connection, schema=schema)
            assert await tables(connection, schema) == TABLES
        finally:
            await connection.close()


HELD = 47
"""An advisory lock: a migration stands still in the middle until the test lets go of it. No lock_timeout ends that."""
STANDS_STILL = f"DO 'BEGIN WHILE NOT pg_try_advisory_lock({HELD}) LOOP PERFORM pg_sleep(0.02); END LOOP; END'"
KILLED = f"""
import asyncio, sys, attrs
from saga_fn.store import migrate as module
last = module.MIGRATIONS[-1]
module.MIGRATIONS = (*module.MIGRATIONS[:-1], attrs.evolve(last, statements=(*last.statements, {STANDS_STILL!r})))
asyncio.run(module.migrate(sys.argv[1]))
"""


@pytest.mark.fault(47)
async def test_what_a_killed_migrator_left_is_taken_up(empty_dsn: str, conn: Connection) -> None:
    await conn.execute("SELECT pg_advisory_lock($1)", HELD)
    with subprocess.Popen([sys.executable, "-c", KILLED, empty_dsn]) as process:
        while not await conn.fetch("SELECT 1 FROM pg_stat_activity WHERE query = $1", STANDS_STILL):
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    with pytest.raises(SchemaMissingError):
        await check_schema(conn)
    taking_up = asyncio.create_task(migrate(empty_dsn))
    tries: set[object] = set()
    while len(tries) < 2:  # it waits for longer than its lock_timeout: the server has not seen yet that its client died
        tries.update(each["xact_start"] for each in await conn.fetch(WAITING))
        assert not taking_up.done()
        await asyncio.sleep(0.05)
    await conn.execute("SELECT pg_advisory_unlock($1)", HELD)
    await taking_up
    await check_schema(conn)
    assert await tables(conn) == TABLES


WAITING = "SELECT xact_start FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def test_a_bootstrap_without_the_rest_is_taken_up(conn: Connection) -> None:
    await migrate(conn)
    await conn.execute("DROP TABLE saga_fn.saga, saga_fn.saga_journal, saga_fn.saga_inbox, saga_fn.saga_verb")
    await conn.execute("DROP TABLE saga_fn.saga_operation")
    await conn.execute("DROP TABLE saga_fn.saga_event, saga_fn.saga_rejection, saga_fn.saga_plan, saga_fn.saga_process")
    await conn.execute("DROP TABLE saga_fn.saga_pause")
    await conn.execute(
        "DROP TABLE saga_fn.journal_era, saga_fn.saga_sent, saga_fn.saga_attribute, saga_fn.saga_retention, saga_fn.saga_tombstone"
        ", saga_fn.saga_outgoing"
    )
    await conn.execute("DELETE FROM saga_fn.migration")
    await conn.execute("DELETE FROM saga_fn.setting")
    with pytest.raises(SchemaMissingError):
        await check_schema(conn)
    await migrate(conn)
    await check_schema(conn)


async def waits_for_a_lock(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    """Wait until another session of this database waits for a lock."""
    while not await conn.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ):
        await asyncio.sleep(0.01)


async def test_a_migration_waits_for_its_locks_without_blocking_those_behind_it(
    empty_dsn: str, conn: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(conn)
    monkeypatch.setattr("saga_fn.store.migrate.MIGRATIONS", later("ALTER TABLE {schema}.saga ADD COLUMN more text"))
    monkeypatch.setattr("saga_fn.store.schema_session._LOCK_TIMEOUT", "500ms")
    other = await asyncpg.connect(empty_dsn)
    reader = conn.transaction()
    await reader.start()
    await conn.execute("SELECT 1 FROM saga_fn.saga")
    migrating = asyncio.create_task(migrate(empty_dsn))
    await waits_for_a_lock(other)
    await asyncio.wait_for(other.execute("SELECT 1 FROM saga_fn.saga"), SOON)
    await waits_for_a_lock(other)  # it has not given up
    await other.close()
    assert not migrating.done()
    await reader.commit()
    await migrating
    await check_schema(conn)


@pytest.mark.parametrize("schema", ["order", "Shop", "_", "x" * 63])
async def test_unusual_names_of_schemas(conn: Connection, schema: str) -> None:
    await migrate(conn, schema=schema)
    await check_schema(conn, schema=schema)
    assert await tables(conn, schema) == TABLES


@pytest.mark.parametrize(
    "schema", ['a"; DROP TABLE x; --', "a'b", "a.b", "a b", "", "1a", "ö", "x" * 64, "pg_saga", "a\n"]
)
async def test_other_names_are_refused_before_anything_happens(conn: Connection, schema: str) -> None:
    for attempt in (migrate, check_schema):
        with pytest.raises(ValueError, match=r"schema name .*\nHINT: use ASCII letters"):
            await attempt(conn, schema=schema)


async def test_a_missing_schema_names_the_command(conn: Connection) -> None:
    with pytest.raises(SchemaMissingError, match=r"python -m saga_fn.store.migrate --dsn ... --schema shop") as caught:
        await check_schema(conn, schema="shop")
    assert (caught.value.found, caught.value.needed) == (0, LATEST)
    assert "migrate=True" in str(caught.value)


async def test_an_older_schema_is_missing_something(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    await migrate(conn)
    monkeypatch.setattr("saga_fn.store.migrate.MIGRATIONS", later("SELECT 1"))
    with pytest.raises(SchemaMissingError) as caught:
        await check_schema(conn)
    assert (caught.value.found, caught.value.needed) == (LATEST, LATEST + 1)


async def test_a_newer_schema_is_refused_only_if_it_breaks_us(conn: Connection) -> None:
    await migrate(conn)
    await conn.execute(
        "INSERT INTO saga_fn.migration (number, name, breaking, fingerprint) VALUES (900, 'more', false, 'x')"
    )
    await check_schema(conn)
    await migrate(conn)
    await conn.execute(
        "INSERT INTO saga_fn.migration (number, name, breaking, fingerprint) VALUES (901, 'other', true, 'x')"
    )
    for attempt in (migrate, check_schema):
        with pytest.raises(SchemaTooNewError, match="upgrade") as caught:
            await attempt(conn)
        assert (caught.value.found, caught.value.known) == (901, LATEST)


async def test_a_schema_that_other_statements_made_is_refused_and_left_alone(
    conn: Connection, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(conn)
    before = await tables(conn)
    changed = attrs.evolve(MIGRATIONS[-1], fingerprint="of other statements")
    monkeypatch.setattr("saga_fn.store.migrate.MIGRATIONS", (*MIGRATIONS[:-1], changed))
    for attempt in (migrate, check_schema):
        with pytest.raises(
            SchemaDiffersError, match=r'another version of migration 1 .*\nHINT: .*"saga_fn" CASCADE'
        ) as caught:
            await attempt(conn)
        assert (caught.value.schema, caught.value.migration) == ("saga_fn", LATEST)
    for asked in (True, False):
        with pytest.raises(SchemaDiffersError):
            async with SagaOrchestrator(empty_dsn, migrate=asked):
                raise AssertionError
    assert await tables(conn) == before


async def test_a_schema_without_fingerprints_is_refused(conn: Connection) -> None:
    await migrate(conn)
    await conn.execute("ALTER TABLE saga_fn.migration DROP COLUMN fingerprint")
    for attempt in (migrate, check_schema):
        with pytest.raises(SchemaDiffersError, match="drop the schema"):
            await attempt(conn)


@pytest.mark.raw_rows
async def test_a_schema_that_changes_under_a_running_process_shows_in_its_health(
    conn: Connection, empty_dsn: str
) -> None:
    await migrate(conn)
    async with SagaOrchestrator(empty_dsn, concurrency=0) as orchestrator:
        await conn.execute("UPDATE saga_fn.migration SET fingerprint = 'x'")
        await conn.execute("DROP TABLE saga_fn.saga")
        health = await orchestrator.health()
        assert (health.ok, health.schema) == (False, False)
        assert "another version of migration 1" in health.problems[0]


def test_each_fingerprint_is_of_the_statements_and_of_no_comment() -> None:
    for source, migration in zip(read_migrations(SCHEMA)[1:], MIGRATIONS, strict=True):
        text = "\0".join(source.statements)
        assert hashlib.sha256(text.encode()).hexdigest().startswith(migration.fingerprint)
        assert len(migration.fingerprint) == 32
        assert "--" not in text


class OldServer:
    """Answers the first question, which is about the version, and no other."""

    def __init__(self) -> None:
        self.asked = 0

    async def fetchrow(self, query: str, /, *args: object) -> tuple[int, bool, bool, bool]:
        self.asked += 1
        return 140011, False, False, False

    async def fetch(self, query: str, /, *args: object) -> list[object]:
        raise AssertionError(query)

    async def execute(self, query: str, /, *args: object) -> str:
        raise AssertionError(query)

    def is_in_transaction(self) -> bool:
        raise AssertionError

    def transaction(self) -> AbstractAsyncContextManager[None]:
        raise AssertionError


async def test_a_server_that_is_too_old_is_named_and_left_alone() -> None:
    for attempt in (migrate, check_schema):
        server = OldServer()
        with pytest.raises(ServerTooOldError) as caught:
            await attempt(server)
        assert (caught.value.found, caught.value.needed, server.asked) == (14, 15, 1)


async def test_the_number_of_shards_is_settled_once(conn: Connection) -> None:
    await migrate(conn, shards=4)
    await check_schema(conn, shards=4)
    for attempt in (migrate, check_schema):
        with pytest.raises(StoreError, match="has 4 shards, this process was told 1\nHINT"):
            await attempt(conn)


@pytest.mark.parametrize("shards", [0, -1, 4097])
async def test_a_number_of_shards_that_ids_cannot_carry(conn: Connection, shards: int) -> None:
    with pytest.raises(StoreError, match="shards must be from 1 to 4096"):
        await migrate(conn, shards=shards)
    assert await tables(conn) == set()


DUPLICATES = "INSERT INTO saga_fn.saga_plan (shard, id, data) VALUES (0, 'a', 'same'), (0, 'b', 'same')"


async def test_a_statement_that_fails_is_not_taken_for_work_that_others_did(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(conn)
    await conn.execute(DUPLICATES)
    unique = later("CREATE UNIQUE INDEX plan_data ON {schema}.saga_plan (shard, data)")
    monkeypatch.setattr("saga_fn.store.migrate.MIGRATIONS", unique)
    with pytest.raises(StoreError, match="23505"):
        await migrate(conn)
    with pytest.raises(SchemaMissingError):
        await check_schema(conn)


CONCURRENTLY = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS plan_data ON {schema}.saga_plan (shard, data)"


async def test_an_index_that_somebody_died_building_is_built_again(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(conn)
    await conn.execute(DUPLICATES)
    with pytest.raises(asyncpg.UniqueViolationError):
        await conn.execute(CONCURRENTLY.replace("{schema}", "saga_fn"))
    await conn.execute("DELETE FROM saga_fn.saga_plan WHERE id = 'b'")
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'saga_fn.plan_data'::regclass"
    assert (await conn.fetchrow(valid))[0] is False

    monkeypatch.setattr("saga_fn.store.migrate.MIGRATIONS", later(CONCURRENTLY, concurrently=True))
    await migrate(conn)
    await check_schema(conn)
    assert (await conn.fetchrow(valid))[0] is True


async def test_eight_at_once_build_one_index(empty_dsn: str, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saga_fn.store.migrate.MIGRATIONS", later(CONCURRENTLY, concurrently=True))
    await asyncio.gather(*(migrate(empty_dsn) for _ in range(8)))
    await check_schema(conn)
    invalid = await conn.fetch("SELECT 1 FROM pg_index WHERE NOT indisvalid")
    assert invalid == []


async def test_who_may_not_is_told_who_may(conn: Connection) -> None:
    role = f"saga_fn_test_{uuid4().hex}"
    await conn.execute(f"CREATE ROLE {role}")
    try:
        await conn.execute(f"SET ROLE {role}")
        with pytest.raises(StoreError, match=r"42501.*\nHINT: migrate once with a user who may create"):
            await migrate(conn)
        await conn.execute("RESET ROLE")
        await migrate(conn)
        await conn.execute(f"GRANT USAGE ON SCHEMA saga_fn TO {role}")
        await conn.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA saga_fn TO {role}")
        await conn.execute(f"SET ROLE {role}")
        await migrate(conn)  # nothing to do, and so no right is missing
        await check_schema(conn)
    finally:
        await conn.execute("RESET ROLE")
        await conn.execute(f"DROP OWNED BY {role}")
        await conn.execute(f"DROP ROLE {role}")


async def test_a_schema_made_by_somebody_else_is_enough(conn: Connection) -> None:
    role = f"saga_fn_test_{uuid4().hex}"
    await conn.execute(f"CREATE ROLE {role}")
    try:
        await conn.execute(f"CREATE SCHEMA given AUTHORIZATION {role}")
        await conn.execute(f"SET ROLE {role}")
        await migrate(conn, schema="given")
        await check_schema(conn, schema="given")
    finally:
        await conn.execute("RESET ROLE")
        await conn.execute(f"DROP OWNED BY {role}")
        await conn.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "dsn, kind",
    [
        ("postgresql://u:secret@127.0.0.1:1/x", StoreUnavailableError),
        ("no dsn", StoreRefusedError),
        ("postgresql://u:secret@[/x", StoreRefusedError),
    ],
)
async def test_a_dsn_that_does_not_answer_or_is_none_keeps_its_password(dsn: str, kind: type[StoreError]) -> None:
    with pytest.raises(StoreError, match="HINT: check the DSN") as caught:
        await migrate(dsn)
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "saga_fn.store.migrate", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PGCONNECT_TIMEOUT": "5"}
    )


def test_the_command_line_migrates(empty_dsn: str) -> None:
    done = run("--dsn", empty_dsn, "--schema", "shop", "--shards", "2")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"schema shop is at version {LATEST}\n", "")


def test_the_command_line_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dsn", "postgresql://127.0.0.1:1/x"]) == 1
    assert "HINT: check the DSN" in capsys.readouterr().err
    assert main(["--dsn", "postgresql://127.0.0.1:1/x", "--schema", 'a"b']) == 1
    assert "HINT: use ASCII letters" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])
    assert "--dsn" in capsys.readouterr().err


async def test_the_printed_sql_does_the_same(conn: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print", "--schema", "shop", "--shards", "3"]) == 0
    await conn.execute(capsys.readouterr().out)
    await check_schema(conn, schema="shop", shards=3)
    await migrate(conn, schema="shop", shards=3)
    assert await tables(conn, "shop") == TABLES


@pytest.mark.predecessor(36)
async def test_what_grows_is_counted_in_eight_bytes_and_no_type_is_shared(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    small = await connection.fetch(
        "SELECT DISTINCT column_name FROM information_schema.columns"
        " WHERE table_schema = 'saga_fn' AND data_type IN ('integer', 'smallint')"
    )
    enums: int = await connection.fetchval("SELECT count(*) FROM pg_type WHERE typtype = 'e'")
    await connection.close()
    # None of these counts sagas, or what happens to one over its life.
    assert {row[0] for row in small} == {
        "shard",
        "version",
        "format",
        "waits",
        "retry_counter",
        "number",
        "era",
        "n",
        "attempts",
    }
    assert enums == 0
