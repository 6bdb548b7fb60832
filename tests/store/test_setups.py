"""Setups that people have: DSNs in every form, poolers, pools of theirs, read-only servers. What cannot do is told at once."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import asyncpg
import pytest

from saga_fn import AttentionKind, SagaAdmin, SagaError, SagaOrchestrator, SagaStatus, StoreError, StoreRefusedError
from saga_fn._tools.sql.generate import QUERIES
from saga_fn._tools.sql.scan import read_queries
from saga_fn.store.connections import connect
from saga_fn.store.database import Database
from saga_fn.store.dsn import read_dsn
from saga_fn.store.migrate import migrate
from saga_fn.store.pool_check import JUDGED
from tests.support.roles import execute
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON

OFTEN = timedelta(milliseconds=100)

# DSNs.

READ = [
    ("postgres://u@h/d", "postgresql://u@h/d"),
    ("postgresql://u@h/d", "postgresql://u@h/d"),
    ("postgresql+asyncpg://u@h/d", "postgresql://u@h/d"),
    ("postgresql+psycopg://u@h/d", "postgresql://u@h/d"),
    ("  postgresql://u@h/d\n", "postgresql://u@h/d"),
    ("postgresql://u:p%40ss@h/d", "postgresql://u:p%40ss@h/d"),
    ("postgresql://u:p@ss:word@h/d", "postgresql://u:p%40ss%3Aword@h/d"),
    ("postgresql://u@[::1]:5433/d", "postgresql://u@[::1]:5433/d"),
    (
        "postgresql://a:1,b:2/d?target_session_attrs=read-write",
        "postgresql://a:1,b:2/d?target_session_attrs=read-write",
    ),
    ("postgresql:///d?host=/run/pg&port=5433", "postgresql:///d?host=%2Frun%2Fpg&port=5433"),
    ("postgresql://u@%2Frun%2Fpg/d", "postgresql://u@%2Frun%2Fpg/d"),
    ("postgresql://u@h/d?ssl=require", "postgresql://u@h/d?sslmode=require"),
    ("postgresql://u@h/d?keepalives=1&sslmode=disable", "postgresql://u@h/d?sslmode=disable"),
    ("postgresql://", "postgresql://"),
]


@pytest.mark.parametrize("dsn, read", READ, ids=[dsn for dsn, _ in READ])
def test_a_url_is_read_in_every_form(dsn: str, read: str) -> None:
    assert read_dsn(dsn).dsn == read


def test_the_keyword_form_is_read_as_libpq_reads_it() -> None:
    given = read_dsn(r"host=/run/pg port = 5433 dbname=shop user='an ann' password='it\'s \\ so' connect_timeout=3")
    found = {name: values[0] for name, values in parse_qs(urlsplit(given.dsn).query).items()}
    assert found == {
        "host": "/run/pg",
        "port": "5433",
        "dbname": "shop",
        "user": "an ann",
        "password": "it's \\ so",
    }
    assert given.connect_timeout == 3
    assert read_dsn("hostaddr=127.0.0.1 dbname=shop").dsn == "postgresql://?host=127.0.0.1&dbname=shop"


def test_the_statement_cache_is_taken_out_of_the_dsn() -> None:
    given = read_dsn("postgresql://u@h/d?statement_cache_size=0&sslmode=disable")
    assert (given.statement_cache_size, given.dsn) == (0, "postgresql://u@h/d?sslmode=disable")
    assert read_dsn("postgresql://u@h/d?statement_cache_size=0", statement_cache_size=7).statement_cache_size == 7
    assert read_dsn("postgresql+asyncpg://u@h/d?prepared_statement_cache_size=0").statement_cache_size == 0


UNREADABLE = [
    "mysql://u:hunter2@h/d",
    "u:hunter2@h",
    "no dsn",
    "postgresql://u:hunter2@h:99999/d",
    "postgresql://u:hunter2@h:x/d",
    "postgresql://u:hunter2@[::1/d",
    "postgresql://u:hunter2@h/d?statement_cache_size=x",
    "postgresql://u:hunter2@h/d?sslmode",
    "host=h password='hunter2",
    "host=h port=0 password=hunter2",
]


@pytest.mark.parametrize("dsn", UNREADABLE)
def test_a_dsn_that_cannot_be_read_is_refused_without_being_quoted(dsn: str) -> None:
    with pytest.raises(StoreRefusedError, match="HINT: check the DSN") as caught:
        read_dsn(dsn)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("dsn", ["", "  \n"])
async def test_an_empty_dsn_is_no_default(dsn: str) -> None:
    with pytest.raises(StoreRefusedError, match="the DSN is empty"):
        SagaOrchestrator(dsn)
    with pytest.raises(StoreRefusedError, match="the DSN is empty"):
        await migrate(dsn)


async def test_a_certificate_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    with pytest.raises(StoreRefusedError, match=r"verify-full needs the certificate .*root\.crt is not there"):
        await migrate("postgresql://u:hunter2@127.0.0.1:1/d?sslmode=verify-full")
    with pytest.raises(StoreRefusedError, match=r"nowhere\.pem is not there"):
        async with SagaOrchestrator("postgresql://u@127.0.0.1:1/d?sslmode=verify-ca&sslrootcert=/nowhere.pem"):
            pass


async def test_all_entrances_take_all_forms(dsn: str) -> None:
    parts = urlsplit(dsn)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host = query.get("host", parts.hostname or "")
    port = query.get("port", str(parts.port or 5432))
    keywords = (
        f"host={host} port={port} dbname={parts.path[1:]} user={unquote(parts.username or '')} "
        f"password='{unquote(parts.password or '')}' connect_timeout=5"
    )
    for form in (dsn, dsn.replace("postgresql://", "postgres://"), dsn.replace("://", "+asyncpg://", 1), keywords):
        await migrate(form)
        async with SagaOrchestrator(form, listen_dsn=form, concurrency=0) as orchestrator:
            assert (await orchestrator.health()).ok


# The statement cache.


@pytest.mark.parametrize("way", ["option", "dsn"])
async def test_without_a_statement_cache_nothing_stays_prepared(any_dsn: str, way: str) -> None:
    given = any_dsn if way == "option" else any_dsn + ("&" if "?" in any_dsn else "?") + "statement_cache_size=0"
    orchestrator = SagaOrchestrator(given, statement_cache_size=0 if way == "option" else None)
    async with orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        assert await handle.run(Order("1"), timeout=SOON) == Done("ship")
    address = read_dsn(given, statement_cache_size=0 if way == "option" else None)
    connection = await connect(address)
    try:
        assert await connection.fetch("SELECT $1::integer", 1)
        assert await connection.fetch("SELECT 1 FROM pg_prepared_statements WHERE name <> ''") == []
    finally:
        await connection.close()
    await migrate(given)


async def test_a_statement_cache_is_no_setting_of_a_pool(any_dsn: str) -> None:
    async with asyncpg.create_pool(any_dsn, min_size=1, max_size=3) as pool:
        with pytest.raises(StoreError, match="create the pool with statement_cache_size=0"):
            SagaOrchestrator(pool, statement_cache_size=0)


# Listening.


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    while not condition():
        await asyncio.sleep(0.02)


async def test_a_listener_that_hears_nothing_says_so_once_and_lets_its_connection_go(
    any_dsn: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = asyncio.Event()
    notify = Database.notify

    async def swallow(self: Database, *payloads: str) -> None:
        """As a pooler in transaction mode does, until another way is found."""
        if through.is_set():
            await notify(self, *payloads)

    monkeypatch.setattr(Database, "notify", swallow)
    monkeypatch.setattr("saga_fn.store.listener._ECHO_LIMIT", 0.2)
    monkeypatch.setattr("saga_fn.store.listener._DEAF_PAUSE", 0.1)
    caplog.set_level(logging.WARNING, "saga_fn")
    async with SagaOrchestrator(any_dsn, poll_interval=OFTEN) as orchestrator, asyncio.timeout(SOON):
        await until(lambda: orchestrator.engine.store.deaf is not None)
        handle = orchestrator.register("shop", make_saga(Shop()))
        later = await handle.start(Order("1"), delay=timedelta(milliseconds=300))
        assert await later.result(SOON) == Done("ship"), "it is found by looking"
        health = await orchestrator.health()
        assert health.ok, "nothing depends on it"
        assert [each.kind for each in health.attention] == [AttentionKind.DEAF]
        through.set()
        await until(lambda: orchestrator.engine.store.deaf is None)
    said = [record.getMessage() for record in caplog.records if "hears of nothing" in record.getMessage()]
    assert len(said) == 1
    assert "listen_dsn=" in said[0]


async def test_a_connection_that_ends_before_it_has_heard_anything_is_replaced_at_once(
    any_dsn: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    ended: list[int] = []
    heard: list[int] = []
    notify = Database.notify

    async def end_the_first(self: Database, *payloads: str) -> None:
        async with self.control() as connection:
            if not ended:
                rows = await connection.fetch(f"SELECT pid, pg_terminate_backend(pid, 5000) {listening}")
                ended.extend(row["pid"] for row in rows)
            else:
                heard.extend(row["pid"] for row in await connection.fetch(f"SELECT pid {listening}"))
        await notify(self, *payloads)

    monkeypatch.setattr(Database, "notify", end_the_first)
    monkeypatch.setattr("saga_fn.store.listener._ECHO_LIMIT", 10 * SOON)
    async with SagaOrchestrator(any_dsn), asyncio.timeout(SOON):
        await until(lambda: bool(heard))
    assert len(ended) == len(heard) == 1
    assert ended != heard
    assert "hears of nothing" not in caplog.text


async def test_what_one_process_starts_another_hears_of(any_dsn: str) -> None:
    shop = Shop()
    async with (
        SagaOrchestrator(any_dsn, listen_dsn=any_dsn, poll_interval=timedelta(seconds=SOON)) as worker,
        SagaOrchestrator(any_dsn, concurrency=0) as starter,
    ):
        worker.register("shop", make_saga(shop))
        await asyncio.sleep(0.5)  # it has found nothing to do, and rests
        run = await starter.register("shop", make_saga(Shop())).start(Order("1"))
        assert await run.result(SOON / 2) == Done("ship")
        assert worker.engine.store.deaf is None


# Pools.


@asynccontextmanager
async def pool_of(dsn: str, size: int) -> AsyncGenerator[asyncpg.Pool]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=size) as pool:
        yield pool


async def test_a_pool_that_listening_takes_up_is_refused_with_the_mend(any_dsn: str) -> None:
    async with pool_of(any_dsn, 1) as pool, asyncio.timeout(SOON):
        with pytest.raises(StoreError, match=r"1 connections at most, of which 1 .*\nHINT: make it with max_size=3"):
            async with SagaOrchestrator(pool):
                pass
        async with SagaOrchestrator(pool, listen=False) as orchestrator:
            handle = orchestrator.register("shop", make_saga(Shop()))
            assert await handle.run(Order("1"), timeout=SOON) == Done("ship")
        async with SagaOrchestrator(pool, listen_dsn=any_dsn, concurrency=0) as orchestrator:
            assert (await orchestrator.health()).ok


async def test_the_listeners_of_all_orchestrators_of_a_pool_count(
    any_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "saga_fn")
    async with pool_of(any_dsn, 2) as pool, asyncio.timeout(SOON):
        for _ in range(3):
            async with SagaOrchestrator(pool, concurrency=0) as first:
                with pytest.raises(StoreError, match="2 are taken for listening"):
                    async with SagaOrchestrator(pool, concurrency=0):
                        pass
                assert (await first.health()).ok
        assert any("HINT: make it with max_size=3" in record.getMessage() for record in caplog.records)


async def test_a_pool_that_was_not_opened_is_named_as_that(any_dsn: str) -> None:
    pool = asyncpg.create_pool(any_dsn, min_size=1, max_size=4)  # `await` is forgotten
    with pytest.raises(StoreRefusedError, match="was made and not opened") as refused:
        async with SagaOrchestrator(pool):
            pass
    assert "await asyncpg.create_pool" in (refused.value.hint or "")


async def test_a_pool_can_be_closed_inside(any_dsn: str) -> None:
    pool = await asyncpg.create_pool(any_dsn, min_size=1, max_size=4)
    async with asyncio.timeout(2 * SOON), SagaOrchestrator(pool, poll_interval=OFTEN) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        assert await handle.run(Order("1"), timeout=SOON) == Done("ship")
        await pool.close()
        health = await orchestrator.health()
        assert not health.ok
        assert "the pool is closed" in " ".join(health.problems)


def _naive(value: str) -> datetime:
    return datetime.fromisoformat(value).replace(tzinfo=None)


def _next(value: str) -> int:
    return int(value) + 1


CODECS: list[tuple[str, Callable[[str], object]]] = [
    ("uuid", str),
    ("timestamptz", str),
    ("timestamptz", _naive),
    ("int8", str),
    ("int4", _next),
    ("text", str.lower),
    ("text", str.upper),
    ("text", str.strip),
]


def test_each_type_that_a_statement_names_is_judged() -> None:
    names = {"smallint": "int2", "integer": "int4", "bigint": "int8", "boolean": "bool"}
    written = [query.sql for query in read_queries(QUERIES)]
    used = {names.get(name, name) for sql in written for name in re.findall(r'::(?:pg_catalog\.)?"?(\w+)', sql)}
    assert used - {"regclass", "char"} <= set(JUDGED)  # these never leave the server


@pytest.mark.parametrize("kind, decoder", CODECS, ids=[f"{kind} as {made.__name__}" for kind, made in CODECS])
async def test_a_codec_of_the_pools_own_is_told(any_dsn: str, kind: str, decoder: Callable[[str], object]) -> None:
    async def init(connection: asyncpg.Connection) -> None:
        await connection.set_type_codec(kind, schema="pg_catalog", encoder=str, decoder=decoder)

    async with asyncpg.create_pool(any_dsn, min_size=1, max_size=4, init=init) as pool, asyncio.timeout(SOON):
        with pytest.raises(StoreError, match=rf"{kind} as \w+.*\nHINT: give saga_fn a pool without"):
            async with SagaOrchestrator(pool):
                pass


async def test_a_codec_that_gives_what_the_driver_gives_will_do(any_dsn: str) -> None:
    async def init(connection: asyncpg.Connection) -> None:
        await connection.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=UUID)
        await connection.set_type_codec("json", schema="pg_catalog", encoder=str, decoder=str)

    async with (
        asyncpg.create_pool(any_dsn, min_size=1, max_size=4, init=init) as pool,
        SagaOrchestrator(pool) as orchestrator,
    ):
        handle = orchestrator.register("shop", make_saga(Shop()))
        run = await handle.start(Order("1"))
        assert run.created
        assert await run.result(SOON) == Done("ship")
    assert datetime.now(UTC).tzinfo is not None


# Servers that take no writes.


async def test_a_server_that_takes_no_writes_is_refused_unless_one_only_looks(any_dsn: str) -> None:
    async with SagaOrchestrator(any_dsn) as orchestrator:
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        await run.result(SOON)
        await execute(any_dsn, f'ALTER DATABASE "{urlsplit(any_dsn).path[1:]}" SET default_transaction_read_only = on')
        try:
            with pytest.raises(StoreRefusedError, match=r"read-only.*\nHINT: connect to the primary"):
                async with SagaOrchestrator(any_dsn, migrate=True):
                    pass
            with pytest.raises(StoreRefusedError, match=r"read-only"):
                async with SagaOrchestrator(any_dsn, concurrency=0):
                    pass
            async with SagaOrchestrator(any_dsn, concurrency=0, read_only=True) as looking:
                handle = looking.register("shop", make_saga(Shop()))
                assert await handle.attach(run.id).result(SOON) == Done("ship")
                assert (await looking.health()).ok
                with pytest.raises(StoreRefusedError, match=r"read-only transaction \(25006\)"):
                    await handle.start(Order("2"))
        finally:
            await execute(
                any_dsn,
                "SET default_transaction_read_only = off",
                "SET transaction_read_only = off; "
                f'ALTER DATABASE "{urlsplit(any_dsn).path[1:]}" RESET default_transaction_read_only',
            )


async def test_health_names_a_server_that_has_become_read_only(any_dsn: str) -> None:
    name = urlsplit(any_dsn).path[1:]
    async with SagaOrchestrator(any_dsn, concurrency=0) as orchestrator:
        assert (await orchestrator.health()).ok
        await execute(
            any_dsn,
            f'ALTER DATABASE "{name}" SET default_transaction_read_only = on',
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'saga_fn'",
        )
        try:
            async with asyncio.timeout(SOON):
                while not re.search("read-only", " ".join((await orchestrator.health()).problems)):
                    await asyncio.sleep(0.05)
        finally:
            await execute(
                any_dsn,
                f'BEGIN READ WRITE; ALTER DATABASE "{name}" RESET default_transaction_read_only; COMMIT',
            )


def test_only_a_process_that_looks_can_be_read_only() -> None:
    with pytest.raises(SagaError, match="concurrency=0"):
        SagaOrchestrator("postgresql://h/d", read_only=True)
    with pytest.raises(SagaError, match="concurrency=0"):
        SagaOrchestrator("postgresql://h/d", read_only=True, concurrency=0, migrate=True)


@pytest.mark.predecessor(36)
async def test_two_stores_in_one_database_do_not_know_each_other(dsn: str) -> None:
    async with (
        SagaOrchestrator(dsn, schema="one", migrate=True, concurrency=0) as one,
        SagaOrchestrator(dsn, schema="other", migrate=True, concurrency=0) as other,
    ):
        one.register("shop", make_saga(Shop()))
        run = await other.register("shop", make_saga(Shop())).start(Order("1"))
        assert await one.run_due() == 0
        connection = await asyncpg.connect(dsn)
        await connection.execute("DROP SCHEMA one CASCADE")
        await connection.close()
        assert await other.run_due() == 1
        assert (await run.snapshot()).status is SagaStatus.COMPLETED
        assert await SagaAdmin(other).verify(run.id) == []
