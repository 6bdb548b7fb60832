"""A journal in partitions: made at the first migration, extended later on, and used a partition at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from saga_fn import Attention, AttentionKind, SagaAdmin, SagaOrchestrator
from saga_fn._tools.sql.generate import QUERIES
from saga_fn._tools.sql.scan import read_queries
from saga_fn.errors import StoreError
from saga_fn.store.eras import MONTHS_AHEAD, MONTHS_LEFT, era_of, month_of, partition_of, statements_adding
from saga_fn.store.migrate import check_schema, grant, main, migrate
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import moment_of
from saga_fn.store.rights import RoleKind
from saga_fn.store.schema_name import with_schema
from tests.store.given import start
from tests.store.pooler import pooled
from tests.store.traps import caught, work
from tests.support.roles import role
from tests.support.servers import GIVEN, Server, database
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON

STATEMENTS = {query.name: query for query in read_queries(QUERIES)}
OFTEN = timedelta(milliseconds=100)


@pytest.fixture(params=["server"] if GIVEN else ["server", "pg15"])
async def parted(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A database whose journal is in partitions, on each PostgreSQL in turn."""
    chosen = request.getfixturevalue(request.param)
    assert isinstance(chosen, Server)
    folds = request.node.get_closest_marker("raw_rows") is None
    async for name in database(chosen, migrated=True, folds=folds, in_parts=True):
        yield name


@pytest.fixture
async def conn(parted: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(parted)
    yield connection
    await connection.close()


async def partitions(connection: asyncpg.Connection, schema: str = "saga_fn") -> list[str]:
    rows = await connection.fetch(
        "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = $1::text::regclass ORDER BY 1",
        f"{schema}.saga_journal",
    )
    return [row[0] for row in rows]


async def eras(connection: asyncpg.Connection) -> list[int]:
    return [row[0] for row in await connection.fetch("SELECT era FROM saga_fn.journal_era ORDER BY era")]


async def this_month(connection: asyncpg.Connection) -> int:
    return era_of(moment_of(await connection.fetchval("SELECT now()")))


async def leave(connection: asyncpg.Connection, *kept: int) -> None:
    """Leave these partitions alone, some of which may have to be made."""
    for era in set(await eras(connection)) - set(kept):
        await connection.execute(f"DROP TABLE saga_fn.{partition_of(era)}")
        await connection.execute(f"DELETE FROM saga_fn.journal_era WHERE era = {era}")
    for era in set(kept) - set(await eras(connection)):
        for statement in statements_adding(era, "saga_fn"):
            await connection.execute(statement)


async def test_a_journal_has_a_partition_for_each_month_of_two_years_and_no_other(conn: asyncpg.Connection) -> None:
    month = await this_month(conn)
    wanted = list(range(month, month + MONTHS_AHEAD + 1))
    assert await eras(conn) == wanted
    assert await partitions(conn) == [partition_of(era) for era in wanted]
    await migrate(conn)
    await migrate(conn, journal_partitions=True)
    await check_schema(conn)
    assert await eras(conn) == wanted


@pytest.mark.parametrize("asked", [False, True])
async def test_a_later_migration_adds_the_months_to_come(parted: str, conn: asyncpg.Connection, asked: bool) -> None:
    month = await this_month(conn)
    await leave(conn, month - 20, month - 19)
    await asyncio.gather(*(migrate(parted, journal_partitions=asked) for _ in range(4)))
    wanted = list(range(month - 20, month + MONTHS_AHEAD + 1))
    assert await eras(conn) == wanted
    assert await partitions(conn) == [partition_of(era) for era in wanted]


@pytest.mark.raw_rows
async def test_months_are_added_beside_the_traffic(parted: str, conn: asyncpg.Connection) -> None:
    month = await this_month(conn)
    await leave(conn, month)
    store = PostgresStore(parted)
    await store.open(migrate=False, listen=None)
    try:
        hand = await start(store)
        async with conn.transaction():
            await conn.execute("SELECT 1 FROM saga_fn.saga_journal")
            await conn.execute(
                f"INSERT INTO saga_fn.saga_journal SELECT * FROM saga_fn.{partition_of(month)} WHERE false"
            )
            async with asyncio.timeout(SOON):
                await migrate(parted)
        assert len(await eras(conn)) == MONTHS_AHEAD + 1
        await store.commit(0, [hand.failed()])
        assert len(await store.journal(hand.id)) == 2
    finally:
        await store.close()


async def test_a_role_that_may_not_add_months_is_told_so_only_if_it_asks_for_them(
    parted: str, conn: asyncpg.Connection
) -> None:
    await leave(conn, await this_month(conn))
    async with role(parted) as (name, its_dsn):
        await grant(conn, role=name, kind=RoleKind.WORKER)
        await migrate(its_dsn)
        async with SagaOrchestrator(its_dsn, migrate=True) as orchestrator:
            assert (await orchestrator.health()).ok
        with pytest.raises(StoreError, match=r"42501.*\nHINT: migrate once with a user who may create"):
            await migrate(its_dsn, journal_partitions=True)
    assert len(await eras(conn)) == 1


async def test_a_journal_that_is_one_table_stays_one(any_dsn: str) -> None:
    with pytest.raises(StoreError, match=r"is one table\nHINT: .* settled by the first migration"):
        await migrate(any_dsn, journal_partitions=True)
    await migrate(any_dsn)
    connection = await asyncpg.connect(any_dsn)
    try:
        assert await partitions(connection) == []
        assert await eras(connection) == []
    finally:
        await connection.close()


@pytest.mark.parametrize("value", [1, "yes", None])
async def test_whether_there_are_partitions_is_true_or_false(value: Any) -> None:  # Any: wrong on purpose
    with pytest.raises(StoreError, match="journal_partitions must be True or False"):
        await migrate("postgresql://u@127.0.0.1:1/x", journal_partitions=value)


async def test_eight_at_once_make_one_set_of_partitions(any_dsn: str) -> None:
    for schema in ("one", "Two"):
        await asyncio.gather(*(migrate(any_dsn, schema=schema, journal_partitions=True) for _ in range(8)))
    connection = await asyncpg.connect(any_dsn)
    try:
        for schema in ("one", '"Two"'):
            assert len(await partitions(connection, schema)) == MONTHS_AHEAD + 1
        for schema in ("one", "Two"):
            await work(any_dsn, schema=schema)
    finally:
        await connection.close()


async def test_nothing_is_looked_up_by_search_path_with_partitions(trapped: str) -> None:
    for _ in range(2):
        await migrate(trapped, schema="other", journal_partitions=True)
    await work(trapped, schema="other")
    assert not await caught(trapped)


async def test_partitions_are_made_and_used_through_a_pooler(any_dsn: str) -> None:
    async with pooled(any_dsn) as pooler:
        await migrate(f"{pooler}&statement_cache_size=0", schema="other", journal_partitions=True)
        await work(pooler, schema="other", statement_cache_size=0, listen_dsn=any_dsn)


async def test_the_command_line_makes_them_and_prints_how(any_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    connection = await asyncpg.connect(any_dsn)
    try:
        arguments = ["--schema", "run", "--journal-partitions"]
        assert await asyncio.to_thread(main, ["--dsn", any_dsn, *arguments]) == 0
        assert main(["--print", "--schema", "printed", "--journal-partitions"]) == 0
        printed = capsys.readouterr().out.removeprefix("schema run is at version 1\n")
        await connection.execute(printed)
        assert await partitions(connection, "printed") == await partitions(connection, "run")
        await migrate(connection, schema="printed", journal_partitions=True)
        await work(any_dsn, schema="printed")
    finally:
        await connection.close()


async def test_a_start_takes_the_newest_era_that_has_a_partition(parted: str, conn: asyncpg.Connection) -> None:
    month = await this_month(conn)
    found: list[set[int]] = []
    for kept in ((month - 7, month - 3), (month - 3, month, month + 1), (month + 2, month + 3)):
        await conn.execute("DELETE FROM saga_fn.saga; DELETE FROM saga_fn.saga_journal")
        await leave(conn, *kept)
        async with SagaOrchestrator(parted, poll_interval=OFTEN) as orchestrator:
            shop = orchestrator.register("shop", make_saga(Shop(fails={"charge": 9})))
            many = await shop.start_many([Order(str(n)) for n in range(3)])
            async with conn.transaction():
                within = await shop.start(Order("4"), connection=conn)
            for run in (*many, await shop.start(Order("5"), aggregation_id="5"), within):
                async with asyncio.timeout(SOON):
                    await run.outcome()
                assert await SagaAdmin(orchestrator).verify(run.id) == []
        rows = await conn.fetch(
            "SELECT s.era, j.era AS of_entry FROM saga_fn.saga AS s JOIN saga_fn.saga_journal AS j ON j.saga_id = s.id"
        )
        assert {row["era"] for row in rows} == {row["of_entry"] for row in rows}
        found.append({row["era"] for row in rows})
    assert found == [{month - 3}, {month}, {month + 2}], "not later than now, if there is one"


@pytest.mark.raw_rows
async def test_sagas_of_several_eras_are_committed_and_read_together(parted: str, conn: asyncpg.Connection) -> None:
    month = await this_month(conn)
    store = PostgresStore(parted)
    await store.open(migrate=False, listen=None)
    try:
        hands = [await start(store)]
        await leave(conn, month, month - 1)
        await conn.execute("DELETE FROM saga_fn.journal_era WHERE era = $1", month)
        hands += [await start(store), await start(store)]
        committed = await store.commit(0, [hand.failed() for hand in hands])
        assert set(committed.inbox_sent) == {hand.id for hand in hands}
        wanted = [(hand.id, seq) for hand in hands for seq in (1, 2)]
        assert set(await store.results(0, wanted)) == set(await store.writers(0, wanted)) == set(wanted)
        for hand in hands:
            assert [entry.seq for entry in await store.journal(hand.id)] == [1, 2]
            standing = await store.standing(hand.id, 2)
            assert standing is not None
            assert standing.writer == hand.token
        rows = await conn.fetch("SELECT era, count(*) FROM saga_fn.saga_journal GROUP BY era ORDER BY era")
        assert [tuple(row) for row in rows] == [(month - 1, 4), (month, 2)]
    finally:
        await store.close()
        await conn.execute("INSERT INTO saga_fn.journal_era (era) VALUES ($1)", month)


async def test_roles_need_no_right_on_a_partition(parted: str, conn: asyncpg.Connection) -> None:
    async with role(parted) as (worker, its_dsn), role(parted) as (viewer, viewers_dsn):
        await grant(conn, role=worker, kind=RoleKind.WORKER)
        await grant(conn, role=viewer, kind=RoleKind.VIEWER)
        async with (
            SagaOrchestrator(its_dsn, poll_interval=OFTEN) as orchestrator,
            SagaOrchestrator(viewers_dsn, concurrency=0, read_only=True) as looking,
        ):
            run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
            assert await run.result(SOON) == Done("ship")
            assert (await orchestrator.health()).ok
            looking.register("shop", make_saga(Shop()))
            assert len((await SagaAdmin(looking).get_saga(run.id)).step_history) > 1
            assert await SagaAdmin(looking).verify(run.id) == []


async def test_health_names_the_last_month_before_it_comes(parted: str, conn: asyncpg.Connection) -> None:
    month = await this_month(conn)
    async with SagaOrchestrator(parted, concurrency=0) as orchestrator:

        async def told() -> list[Attention]:
            health = await orchestrator.health()
            assert health.ok
            return [each for each in health.attention if each.kind is AttentionKind.JOURNAL_MONTHS]

        assert await told() == []
        await leave(conn, *range(month, month + MONTHS_LEFT + 2))
        assert await told() == []
        for last in (month + MONTHS_LEFT, month, month - 1):
            await leave(conn, last)
            (found,) = await told()
            assert f"no partition after {month_of(last)}:" in found.text
            assert "--journal-partitions adds" in found.text
        await migrate(conn, journal_partitions=True)
        assert await told() == []


READERS: dict[str, dict[str, object]] = {
    "read_journal": {"after": 0, "last": 9, "most": 9},
    "read_standing": {"seq": 2},
    "read_results": {"seqs": [1, 2, 2]},
    "read_writers": {"seqs": [1, 2, 2]},
}


def touched(plan: Any) -> set[str]:  # Any: a plan as JSON
    """The partitions that an executed plan has looked into."""
    found: set[str] = {plan["Relation Name"]} if "Relation Name" in plan and plan["Actual Loops"] else set()
    for part in plan.get("Plans", ()):
        found |= touched(part)
    return found


@pytest.mark.raw_rows
@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("name", READERS)
async def test_a_reader_looks_into_one_partition(parted: str, conn: asyncpg.Connection, name: str, mode: str) -> None:
    month = await this_month(conn)
    store = PostgresStore(parted)
    await store.open(migrate=False, listen=None)
    hand = await start(store)
    await store.commit(0, [hand.failed()])
    await store.close()
    given: dict[str, object] = {
        "shard": 0,
        "id": hand.id,
        "saga_id": hand.id,
        "saga_ids": [hand.id] * 3,
        **READERS[name],
    }
    statement = STATEMENTS[name]
    await conn.execute(f"SET plan_cache_mode = {mode}")
    text = await conn.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF, COSTS OFF) {with_schema(statement.sql, 'saga_fn')}",
        *(given[parameter] for parameter in statement.parameters),
    )
    assert touched(json.loads(text)[0]["Plan"]) - {"saga"} == {partition_of(month)}


LOCKED = """
    SELECT c.relname FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND c.relname LIKE 'saga_journal%' AND c.relkind IN ('r', 'p')
"""


@pytest.mark.raw_rows
@pytest.mark.parametrize("batches_only", [False, True])
async def test_a_start_and_a_commit_open_one_partition(
    parted: str, conn: asyncpg.Connection, batches_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = partition_of(await this_month(conn))
    store = PostgresStore(parted, batches_only=batches_only)
    await store.open(migrate=False, listen=None)
    try:
        database = store._database  # pyright: ignore[reportPrivateUsage]  # its statements run on the test's connection
        monkeypatch.setattr(database, "work", lambda: nullcontext(conn))
        for _ in range(7):  # the server may keep one plan for all from the sixth on
            async with conn.transaction():
                hand = await start(store)
                assert {row[0] for row in await conn.fetch(LOCKED)} == {"saga_journal", partition}
            async with conn.transaction():
                await store.commit(0, [hand.failed()])
                assert {row[0] for row in await conn.fetch(LOCKED)} == {"saga_journal", partition}
    finally:
        await store.close()
