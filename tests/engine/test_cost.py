"""What sagas cost the database, counted by the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import attrs
import pytest

from saga_fn import Completed, FixedRetry, SagaAdmin, SagaOrchestrator, SagaStatus
from tests.support.servers import Server
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON

HOUR = timedelta(hours=1)

COUNTED = """
CREATE TABLE written (xact xid8, application text, PRIMARY KEY (xact));
CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.written VALUES (pg_current_xact_id(), current_setting('application_name')) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
DO $$ DECLARE tab regclass; BEGIN
    FOR tab IN SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = 'saga_fn'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'saga_process' LOOP
        EXECUTE format('CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION count_it()', tab);
    END LOOP;
END $$;
"""
"""From now on every transaction that changes a row of the schema's tables is written down.

But for what a process says of itself each half minute, whatever it does."""


async def _count(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch("SELECT DISTINCT application FROM written")
        assert {row["application"] for row in names} <= {"saga_fn"}, "all of them come by the library's own connections"
        commits: int = await connection.fetchval("SELECT count(*) FROM written")
        return commits
    finally:
        await connection.close()


async def _count_from_now_on(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(COUNTED)
    await connection.close()


async def test_a_saga_of_three_steps_is_four_commits(dsn: str) -> None:
    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        await handle.run(Order("0"), timeout=SOON)  # stores the plan, once for all sagas
        await _count_from_now_on(dsn)
        run = await handle.start(Order("1"))
        assert await run.result(SOON) == Done("ship")
        assert await _count(dsn) == 4


async def test_a_saga_that_is_rolled_back_costs_one_commit_for_each_thing_done(dsn: str) -> None:
    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop(fails={"ship": 9})))
        await (await handle.start(Order("0"))).outcome(SOON)
        await _count_from_now_on(dsn)
        run = await handle.start(Order("1"))
        await run.outcome(SOON)
        assert await _count(dsn) == 6, "the start, three steps, two compensations"


async def test_a_saga_that_another_process_runs_is_claimed_with_two_commits(dsn: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0) as starter:
        definition = make_saga(Shop())
        handle = starter.register("shop", definition)
        run = await handle.start(Order("1"))
        await _count_from_now_on(dsn)
        async with SagaOrchestrator(dsn) as worker:
            worker.register("shop", definition)
            assert isinstance(await run.outcome(SOON), Completed)
        assert await _count(dsn) == 2 + 3, "the claim, the resumption, three steps"


async def test_sagas_that_run_together_share_their_commits(dsn: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=200) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        await handle.run(Order("0"), timeout=SOON)
        await _count_from_now_on(dsn)
        runs = await handle.start_many([Order(str(number)) for number in range(100)])
        for run in runs:
            assert isinstance(await run.outcome(SOON), Completed)
        assert await _count(dsn) < 100, "not even one commit a saga"


async def test_an_idle_worker_asks_once_a_poll_interval_and_writes_nothing(dsn: str, server: Server) -> None:
    often = timedelta(milliseconds=100)

    async def queries(idle: float) -> tuple[int, float]:
        """How many an orchestrator makes in its whole life, of which it idles so long; and how long it lived."""
        before = await _transactions(server.dsn, dsn)
        entered = time.monotonic()
        async with SagaOrchestrator(dsn, poll_interval=often, listen=False) as orchestrator:
            orchestrator.register("shop", make_saga(Shop()))
            await asyncio.sleep(idle)
        lived = time.monotonic() - entered
        return await _transactions(server.dsn, dsn) - before, lived

    await queries(0.3)  # its first life stores the plan, once for all processes
    await _count_from_now_on(dsn)
    few, short = await queries(0.3)  # by then it has slowed down to the interval
    many, long = await queries(1.1)
    assert (
        1 <= many - few <= (long - short) / often.total_seconds() + 5
    )  # an idle one that asked twice would make 8 more
    assert await _count(dsn) == 0


async def _transactions(server_dsn: str, dsn: str) -> int:
    """How many transactions the connections that are closed by now have made in the database."""
    database = dsn.partition("?")[0].rpartition("/")[2]
    observer = await asyncpg.connect(server_dsn)  # to another database: it does not count itself
    try:
        async with asyncio.timeout(SOON):
            while await observer.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", database):
                await asyncio.sleep(0.01)
        counted: int = await observer.fetchval(
            "SELECT pg_stat_get_db_xact_commit(oid) FROM pg_database WHERE datname = $1", database
        )
        return counted
    finally:
        await observer.close()


@attrs.define
class Meter:
    """How much the statements of an orchestrator have read."""

    rows: int = 0
    size: int = 0

    def read(self, rows: Sequence[Sequence[object]]) -> None:
        self.rows += len(rows)
        self.size += sum(len(value) for row in rows for value in row if isinstance(value, bytes | str))


class MeteredConnection:
    """A connection that counts what it reads."""

    def __init__(self, connection: Any, meter: Meter) -> None:  # Any: a pool's proxy
        self._connection = connection
        self._meter = meter

    async def execute(self, query: str, /, *args: object) -> str:
        tag: str = await self._connection.execute(query, *args)
        return tag

    async def fetch(self, query: str, /, *args: object) -> Sequence[Any]:  # Any: a driver's record
        rows: Sequence[Any] = await self._connection.fetch(query, *args)  # Any: as above
        self._meter.read(rows)
        return rows

    async def fetchrow(self, query: str, /, *args: object) -> Any:  # Any: as above
        row: Any = await self._connection.fetchrow(query, *args)  # Any: as above
        self._meter.read([] if row is None else [row])
        return row

    def transaction(self) -> AbstractAsyncContextManager[Any, Any]:  # Any: the driver's own class
        transaction: AbstractAsyncContextManager[Any, Any] = self._connection.transaction()  # Any: as above
        return transaction


class MeteredPool:
    """A pool whose connections are metered."""

    def __init__(self, pool: asyncpg.Pool, meter: Meter) -> None:
        self._pool = pool
        self._meter = meter

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator[MeteredConnection]:
        async with self._pool.acquire() as connection:
            yield MeteredConnection(connection, self._meter)


@pytest.fixture
async def pool(dsn: str) -> AsyncGenerator[asyncpg.Pool]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as made:
        yield made


@pytest.mark.predecessor(23)
async def test_a_long_history_makes_no_attempt_dearer(
    monkeypatch: pytest.MonkeyPatch, pool: asyncpg.Pool
) -> None:  # in this order: the journal is folded again when the pool is gone, by the same waits
    monkeypatch.setattr("saga_fn.core.retry._MOST_OF_LEAST", 1)  # what is read is measured here, not what is waited
    monkeypatch.setattr("saga_fn.engine.hold.roster.BEAT", 3600.0)  # nor what a process says of itself
    meter, read = Meter(), list[tuple[int, int]]()
    shop = Shop(fails={"reserve": 99})
    orchestrator = SagaOrchestrator(MeteredPool(pool, meter), listen=False)
    retry = FixedRetry(max_attempts=100, delay=timedelta(microseconds=1))
    run = await orchestrator.register("shop", make_saga(shop, retry=retry)).start(Order("1"))
    while len(shop.keys) < 40:
        meter.rows = meter.size = 0
        assert await orchestrator.run_due() == 1
        read.append((meter.rows, meter.size))
    assert len((await SagaAdmin(orchestrator).get_saga(run.id)).step_history) > 80
    # The least of ten: the driver or a chore may have asked for something beside one of them.
    (rows, size), (first_rows, first_size) = min(read[-10:]), min(read[1:11])
    assert rows == first_rows, "as many rows as at the beginning"
    assert size <= first_size + 16, "and as many bytes, but for the number of the attempt"


SIZES = """SELECT
    (SELECT pg_column_size(s.*) FROM saga_fn.saga s),
    (SELECT count(*) FROM saga_fn.saga_journal),
    (SELECT count(*) FROM saga_fn.saga_inbox) + (SELECT count(*) FROM saga_fn.saga_verb),
    (SELECT count(*) FROM saga_fn.saga_rejection)"""


@pytest.mark.predecessor(23)
async def test_events_that_are_refused_leave_nothing_behind(pool: asyncpg.Pool) -> None:
    orchestrator = SagaOrchestrator(pool, listen=False)
    shop = Shop(fails={"reserve": 1})
    retry = FixedRetry(max_attempts=2, delay=HOUR)
    run = await orchestrator.register("shop", make_saga(shop, retry=retry)).start(Order("1"))
    await orchestrator.run_due()
    before = await pool.fetchrow(SIZES)
    for _ in range(50):
        assert not await orchestrator.notify(run.id, uuid4(), {"by": "mallory"})
    assert await pool.fetchrow(SIZES) == before


@pytest.mark.predecessor(24)
async def test_looking_takes_no_lock(dsn: str, pool: asyncpg.Pool) -> None:
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator, asyncio.timeout(SOON):
        run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        await orchestrator.run_due()
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT 1 FROM saga_fn.saga FOR UPDATE")
            assert (await run.snapshot()).status is SagaStatus.COMPLETED
            assert await run.result(SOON) == Done("ship")
            assert len((await SagaAdmin(orchestrator).get_saga(run.id)).step_history) > 3
            assert (await orchestrator.health()).ok
            others: int = await pool.fetchval(
                "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n"
                " ON n.oid = c.relnamespace WHERE n.nspname = 'saga_fn' AND l.pid <> $1",
                connection.get_server_pid(),
            )
            assert others == 0, "and none is left behind"
