"""How often a transactional step goes to the server, and what goes there together."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from saga_fn import Completed, FixedRetry, SagaBuilder, SagaOrchestrator, TransactionalContext, step
from saga_fn.store import connections, step_transaction
from saga_fn.store._lent import LentConnection
from saga_fn.store.driver_errors import DRIVER_ERRORS
from tests.support.shop import Done, Order
from tests.support.transactional import entries

ONCE = FixedRetry(max_attempts=1)


@step(transactional=True, retry_policy=ONCE)
async def book(inp: Order, ctx: TransactionalContext) -> Done:
    await ctx.connection.execute("INSERT INTO shop.entry VALUES ($1)", ctx.step_id)
    return Done(ctx.step_id)


def of_steps(*step_ids: str, by: Any = book) -> Any:  # Any: steps of all types
    builder = SagaBuilder(Order)
    for step_id in step_ids:
        builder.add_step(by, input_map=lambda ctx: ctx.initial_data, step_id=step_id)
    return builder.build()


async def test_a_step_goes_to_the_server_three_times_beside_its_own_statements(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, sent = connections.connect, dict[int, list[str]]()

    async def heard(*given: Any) -> asyncpg.Connection[asyncpg.Record]:
        connection = await connect(*given)
        words = sent.setdefault(connection.get_server_pid(), [])
        connection.add_query_logger(lambda told: words.append(told.query.split()[0].strip(";")))
        return connection

    monkeypatch.setattr(connections, "connect", heard)
    async with SagaOrchestrator(dsn, transactional_connections=1) as orchestrator:
        run = await orchestrator.register("shop", of_steps("a", "b", "c")).start(Order("o1"))
        assert isinstance(await run.outcome(), Completed)
    (words,) = (each for each in sent.values() if "INSERT" in each)
    assert words[-12:] == ["BEGIN", "INSERT", "WITH", "COMMIT"] * 3
    assert await entries(rows) == ["a", "b", "c"]


async def test_a_refusal_of_what_is_sent_with_the_commit_is_none_of_the_commit(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_transaction, "LEAVE_NOTHING", "SELECT 1 / 0")
    async with SagaOrchestrator(dsn, transactional_connections=1) as orchestrator:
        run = await orchestrator.register("shop", of_steps("a", "b")).start(Order("o1"))
        assert isinstance(await run.outcome(), Completed)
    assert await entries(rows) == ["a", "b"]


@pytest.mark.parametrize("step_id", ["o'clock", "back\\slash", "both \\'", "x" * 64])
@pytest.mark.parametrize("conforming", ["on", "off"])
async def test_the_server_shows_whatever_a_step_is_called(
    step_id: str, conforming: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    shown: list[str] = []

    @step(transactional=True, retry_policy=ONCE)
    async def looks(inp: Order, ctx: TransactionalContext) -> Done:
        shown.append(await ctx.connection.fetchval("SHOW saga_fn.step"))
        await ctx.connection.execute("INSERT INTO shop.entry VALUES ($1)", ctx.step_id)
        return Done(ctx.step_id)

    settings = {"standard_conforming_strings": conforming}
    async with (
        asyncpg.create_pool(dsn, min_size=0, max_size=4, server_settings=settings) as pool,
        SagaOrchestrator(pool) as orchestrator,
    ):
        run = await orchestrator.register("shop", of_steps(step_id, by=looks)).start(Order("o1"))
        assert isinstance(await run.outcome(), Completed)
    assert shown == [f"saga_fn {step_id[:40]}"]
    assert await entries(rows) == [step_id]


MAY_COMMIT = "SELECT CASE WHEN true THEN 1 END"
"""It has a word without which no statement commits."""


async def one_by_one(cursor: Any) -> object:
    return [row[0] async for row in cursor]


@pytest.mark.parametrize(
    "way",
    [
        "execute",
        "executemany",
        "fetch",
        "fetchval",
        "fetchrow",
        "fetchmany",
        "prepare",
        "cursor",
        "cursor that is awaited",
    ],
)
async def test_the_number_of_the_transaction_is_known_before_a_statement_that_may_commit_it(way: str, dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            lent = LentConnection(connection)
            await lent.fetchval("SELECT 1 AS depend, 2 AS committed")
            assert (lent.number, lent.is_in_doubt) == (None, False)
            given: Any = {"executemany": ([()],), "fetchmany": ([()],)}.get(way, ())
            if way.startswith("cursor"):  # it is not sent by the call
                cursor = lent.cursor(MAY_COMMIT)
                assert lent.number is None
                await (one_by_one(cursor) if way == "cursor" else cursor)
            else:
                await getattr(lent, way)(MAY_COMMIT, *given)
            number = await connection.fetchval("SELECT pg_current_xact_id()::text")
            is_kept = way in ("prepare", "cursor", "cursor that is awaited")
            assert (lent.number, lent.is_in_doubt) == (number, is_kept)
    finally:
        await connection.close()


async def test_a_number_that_cannot_be_had_leaves_a_commit_without_an_answer_in_doubt(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("BEGIN; SAVEPOINT here")
        lent = LentConnection(connection)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await lent.execute("SELECT 1 / 0")
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await lent.execute(MAY_COMMIT)
        assert (lent.number, lent.is_in_doubt) == (None, False)
        ends = "ROLLBACK TO SAVEPOINT here; COMMIT; SELECT pg_terminate_backend(pg_backend_pid())"
        with pytest.raises(DRIVER_ERRORS):
            await lent.execute(ends)
        assert (lent.number, lent.is_in_doubt) == (None, True)
    finally:
        connection.terminate()


async def test_a_statement_is_not_in_doubt_if_the_connection_broke_before_it_was_sent(dsn: str) -> None:
    connection, other = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        await connection.execute("BEGIN")
        lent = LentConnection(connection)
        await other.execute("SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())
        with pytest.raises(DRIVER_ERRORS):
            await lent.execute(MAY_COMMIT)
        assert (lent.number, lent.is_in_doubt) == (None, False)
    finally:
        connection.terminate()
        await other.close()
