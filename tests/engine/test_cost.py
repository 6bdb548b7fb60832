"""What sagas cost the database, counted by the database."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import asyncpg

from saga_fn import Completed, SagaOrchestrator
from tests.conftest import Server
from tests.engine.shop import Done, Order, Shop, make_saga

SOON = 20.0
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
    await _count_from_now_on(dsn)

    async def queries(idle: float) -> tuple[int, float]:
        """How many an orchestrator makes in its whole life, of which it idles so long; and how long it lived."""
        before = await _transactions(server.dsn, dsn)
        entered = time.monotonic()
        async with SagaOrchestrator(dsn, poll_interval=often, listen=False) as orchestrator:
            orchestrator.register("shop", make_saga(Shop()))
            await asyncio.sleep(idle)
        lived = time.monotonic() - entered
        return await _transactions(server.dsn, dsn) - before, lived

    few, short = await queries(0.3)  # by then it has slowed down to the interval
    many, long = await queries(1.1)
    assert 1 <= many - few <= (long - short) / often.total_seconds() + 3
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
