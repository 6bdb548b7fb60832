"""The connection of a transactional step: what one step leaves on it reaches no other."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from saga_fn import (
    Compensated,
    Completed,
    SagaOrchestrator,
    TransactionalContext,
    step,
)
from tests.support.shop import Done, Order
from tests.support.transactional import (
    ONCE,
    book,
    entries,
    saga_of,
    write,
)
from tests.support.until import SOON


async def test_a_setting_of_one_step_does_not_reach_the_next(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    found: list[str] = []

    @step(transactional=True)
    async def leaves(inp: Order, ctx: TransactionalContext) -> Done:
        found.append(await ctx.connection.fetchval("SHOW search_path"))
        await ctx.connection.execute("SET search_path = shop")
        return Done("left")

    async with SagaOrchestrator(dsn, transactional_connections=1) as orchestrator:
        handle = orchestrator.register("shop", saga_of(leaves, leaves))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)
    assert found[0] == found[1] != "shop"


async def test_what_a_step_leaves_behind_cannot_use_its_connection(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    go_on, left = asyncio.Event(), list[asyncio.Task[None]]()

    async def late(ctx: TransactionalContext) -> None:
        await go_on.wait()
        await write(ctx, "late")

    async def late_block(ctx: TransactionalContext) -> None:
        async with ctx.connection.transaction():
            await write(ctx, "in a block")
            await go_on.wait()

    @step(transactional=True, retry_policy=ONCE)
    async def leaves(inp: Order, ctx: TransactionalContext) -> Done:
        left.append(asyncio.create_task(late_block(ctx) if inp.order_id == "block" else late(ctx)))
        await asyncio.sleep(0.05)
        if inp.order_id == "fails":
            raise KeyError(inp.order_id)
        await write(ctx, "own")
        return Done("left")

    @step(transactional=True)
    async def other(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "other")
        go_on.set()
        await asyncio.wait(left)
        return Done("other")

    async with SagaOrchestrator(dsn, transactional_connections=1) as orchestrator:
        leaving, others = (
            orchestrator.register("leaves", saga_of(leaves)),
            orchestrator.register("other", saga_of(other)),
        )
        for number, how in enumerate(("fails", "returns", "block")):
            go_on.clear()
            await (await leaving.start(Order(how))).outcome()
            assert isinstance(await (await others.start(Order(str(number)))).outcome(), Completed)
        assert [type(each.exception()) for each in left] == [asyncpg.InterfaceError] * 3
    assert await entries(rows) == ["in a block", "other", "other", "other", "own", "own"]


@pytest.mark.parametrize("borrowed", [False, True])
async def test_a_table_that_was_changed_since_the_last_step_has_read_it_fails_no_step(
    borrowed: bool, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    calls = 0

    @step(transactional=True, retry_policy=ONCE)
    async def reads(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        await write(ctx, inp.order_id)
        await ctx.connection.fetch("SELECT * FROM shop.entry")
        return Done("read")

    async with asyncpg.create_pool(dsn, min_size=0, max_size=3) as pool:
        source: Any = pool if borrowed else dsn
        async with SagaOrchestrator(source, transactional_connections=1) as orchestrator:
            handle = orchestrator.register("shop", saga_of(reads))
            assert isinstance(await (await handle.start(Order("before"))).outcome(), Completed)
            await rows.execute("ALTER TABLE shop.entry ADD COLUMN n int")
            assert isinstance(await (await handle.start(Order("now"))).outcome(), Completed)
    assert calls in ({2, 3} if borrowed else {3}), "another's pool may give a connection that has not read the table"
    assert await entries(rows) == ["before", "now"]


async def test_a_step_that_changes_a_table_between_two_looks_at_it_fails_by_that(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True, retry_policy=ONCE)
    async def changes(inp: Order, ctx: TransactionalContext) -> Done:
        await ctx.connection.fetch("SELECT * FROM shop.entry")
        await ctx.connection.execute("ALTER TABLE shop.entry ADD COLUMN n int")
        await ctx.connection.fetch("SELECT * FROM shop.entry")
        return Done("changed")

    async with SagaOrchestrator(dsn) as orchestrator:
        outcome = await (await orchestrator.register("shop", saga_of(changes)).start(Order("o1"))).outcome()
        assert isinstance(outcome, Compensated)
        assert outcome.failure is not None
        assert outcome.failure.type == "InvalidCachedStatementError"


@pytest.mark.parametrize("kind", ["uuid", "json"])
@pytest.mark.parametrize("borrowed", [False, True])
async def test_a_step_that_changes_how_types_are_read_changes_it_for_itself_alone(
    kind: str, borrowed: bool, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True, retry_policy=ONCE)
    async def retypes(inp: Order, ctx: TransactionalContext) -> Done:
        await ctx.connection.set_type_codec(kind, encoder=str, decoder=str.upper, schema="pg_catalog")
        return Done(
            await ctx.connection.fetchval(
                f"SELECT $1::{kind}", "9f6f5b0c-0d3e-4c3b-a1b5-0f3c0d3e4c3b" if kind == "uuid" else '"a"'
            )
        )

    @step(transactional=True)
    async def reads(inp: Order, ctx: TransactionalContext) -> Done:
        return Done(str(type(await ctx.connection.fetchval("SELECT gen_random_uuid()")).__name__))

    async with asyncpg.create_pool(dsn, min_size=0, max_size=3) as pool:
        source: Any = pool if borrowed else dsn
        async with SagaOrchestrator(source, transactional_connections=1) as orchestrator:
            handle = orchestrator.register("shop", saga_of(retypes, reads))
            outcome = await (await handle.start(Order("o1"))).outcome()
            after = await (await orchestrator.register("after", saga_of(book)).start(Order("o2"))).outcome()
            assert isinstance(after, Completed)
    if kind == "json":
        assert isinstance(outcome, Completed)
    else:
        assert isinstance(outcome, Compensated)
        assert outcome.failure is not None
        assert "connection that the step leaves" in outcome.failure.message


@pytest.mark.parametrize("borrowed", [False, True])
@pytest.mark.parametrize("add", ["add_query_logger", "add_log_listener", "add_termination_listener", "add_listener"])
async def test_a_callback_that_a_step_adds_hears_of_no_other_step(
    add: str, borrowed: bool, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    heard: list[object] = []
    servers: list[int] = []

    def hears(*told: object) -> None:
        heard.extend(told)

    @step(transactional=True)
    async def listens(inp: Order, ctx: TransactionalContext) -> Done:
        servers.append(ctx.connection.get_server_pid())
        added = getattr(ctx.connection, add)(*["there"] * (add == "add_listener"), hears)
        if add == "add_listener":
            await added
        return Done("listens")

    @step(transactional=True)
    async def says(inp: Order, ctx: TransactionalContext) -> Done:
        heard.clear()
        servers.append(ctx.connection.get_server_pid())
        await ctx.connection.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
        await rows.execute("NOTIFY there")
        return Done("says")

    async with asyncpg.create_pool(dsn, min_size=0, max_size=3) as pool:
        source: Any = pool if borrowed else dsn
        async with SagaOrchestrator(source, transactional_connections=1) as orchestrator:
            handle = orchestrator.register("shop", saga_of(listens, says))
            assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)
    assert heard == []
    assert servers[0] != servers[1]


async def test_what_a_step_has_prepared_by_sql_does_not_reach_the_next(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True, retry_policy=ONCE)
    async def prepares(inp: Order, ctx: TransactionalContext) -> Done:
        assert await ctx.connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE from_sql") == 0
        await ctx.connection.execute('PREPARE "a ""name""" AS SELECT 1; PREPARE other AS SELECT 2')
        return Done("prepared")

    async with SagaOrchestrator(dsn, transactional_connections=1) as orchestrator:
        handle = orchestrator.register("shop", saga_of(prepares, prepares))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)


RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%'"


async def test_a_statement_left_running_fails_the_step_and_says_so(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    left = list[asyncio.Task[str]]()

    @step(transactional=True, retry_policy=ONCE)
    async def leaves(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "left")
        left.append(asyncio.create_task(ctx.connection.execute("SELECT pg_sleep(3600)")))
        async with asyncio.timeout(SOON):  # until the server runs it
            while not await rows.fetchval(f"{RUNNING} AND state = 'active'"):
                await asyncio.sleep(0.01)
        return Done("left")

    async with SagaOrchestrator(dsn) as orchestrator:
        outcome = await (await orchestrator.register("shop", saga_of(leaves)).start(Order("o1"))).outcome()
        assert isinstance(outcome, Compensated)
        assert outcome.failure is not None
        assert "left a statement running" in outcome.failure.message
        await asyncio.wait(left)
        assert isinstance(left[0].exception(), Exception)
    assert await entries(rows) == []
    async with asyncio.timeout(SOON):  # the server does not go on with it, and keep the locks of the step
        while await rows.fetchval(RUNNING):
            await asyncio.sleep(0.01)


async def test_a_role_and_a_temporary_table_of_one_step_do_not_reach_the_next(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    found: list[str] = []
    role = f"saga_fn_{uuid4().hex}"

    @step(transactional=True)
    async def leaves(inp: Order, ctx: TransactionalContext) -> Done:
        found.append(await ctx.connection.fetchval("SELECT current_user"))
        await ctx.connection.execute(f"CREATE TEMP TABLE scratch (n int); SET ROLE {role}")
        return Done("left")

    await rows.execute(f"CREATE ROLE {role} SUPERUSER")
    try:
        async with SagaOrchestrator(dsn, transactional_connections=1) as orchestrator:
            handle = orchestrator.register("shop", saga_of(leaves, leaves))
            assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)
    finally:
        await rows.execute(f"DROP ROLE {role}")
    assert found[0] == found[1] != role
