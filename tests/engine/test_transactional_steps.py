"""Transactional steps: what a step writes by `ctx.connection` is committed together with its result, or not at all."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from typing_extensions import override

from saga_fn import (
    Compensated,
    Completed,
    MemoryStore,
    SagaAdmin,
    SagaBuilder,
    SagaDefinitionError,
    SagaOrchestrator,
    TransactionalContext,
    TransactionalStep,
    step,
)
from saga_fn.engine.observe.of_attempts import AttemptFailed
from saga_fn.engine.observe.of_commits import LateWriteRefused
from tests.support.crash import born, dies
from tests.support.observed import Observed
from tests.support.shop import Done, Order
from tests.support.transactional import (
    AT_ONCE,
    book,
    entries,
    saga_of,
    write,
)
from tests.support.until import until


async def test_rows_and_result_are_one_commit(dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(book, book))
        run = await handle.start(Order("o1"))
        assert isinstance(await run.outcome(), Completed)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert [each.kind for each in seen.step_history] == ["started", "step_succeeded", "step_succeeded"]
    assert await entries(rows) == ["s0 o1", "s1 o1"]
    committed = await rows.fetch(
        "SELECT DISTINCT e.xmin::text FROM shop.entry e JOIN saga_fn.saga_journal j ON j.xmin = e.xmin"
    )
    assert len(committed) == 2


async def test_a_step_that_fails_leaves_nothing(dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    tries = 0

    @step(transactional=True, retry_policy=AT_ONCE)
    async def at_last(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal tries
        tries += 1
        await write(ctx, f"try {tries}")
        if tries < 3:
            raise KeyError(tries)
        return Done("at last")

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(at_last))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)
    assert await entries(rows) == ["try 3"]


async def test_a_compensation_is_transactional_by_its_context(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    tries = 0

    async def unbook(inp: Order, out: Done, ctx: TransactionalContext) -> None:
        nonlocal tries
        tries += 1
        await write(ctx, f"undone, try {tries}")
        if tries == 1:
            raise KeyError(tries)

    @step(transactional=True, compensate=unbook, compensation_retry_policy=AT_ONCE)
    async def bought(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "bought")
        return Done("bought")

    @step
    async def fails(inp: Order) -> Done:
        raise KeyError(inp.order_id)

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(bought, fails))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Compensated)
    assert await entries(rows) == ["bought", "undone, try 2"]


async def test_a_class_is_transactional_by_its_base(dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    class Book(TransactionalStep[Order, Done]):
        @override
        async def execute(self, inp: Order, ctx: TransactionalContext, /) -> Done:
            await write(ctx, "booked")
            return Done("booked")

        @override
        async def compensate(self, inp: Order, out: Done, ctx: TransactionalContext, /) -> None:
            await write(ctx, f"{out.what} no more")

    @step
    async def fails(inp: Order) -> Done:
        raise KeyError(inp.order_id)

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(Book(), fails))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Compensated)
    assert await entries(rows) == ["booked", "booked no more"]


async def test_a_savepoint_lets_a_step_go_on_after_a_statement_that_failed(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True)
    async def careful(inp: Order, ctx: TransactionalContext) -> Done:
        with pytest.raises(asyncpg.UndefinedTableError):
            async with ctx.connection.transaction():
                await ctx.connection.execute("SELECT * FROM shop.nothing")
        await write(ctx, "careful")
        return Done("careful")

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(careful))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)
    assert await entries(rows) == ["careful"]


async def test_a_step_that_goes_on_in_an_aborted_transaction_has_failed(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True)
    async def careless(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "careless")
        with pytest.raises(asyncpg.UndefinedTableError):
            await ctx.connection.execute("SELECT * FROM shop.nothing")
        return Done("careless")

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(careless))
        outcome = await (await handle.start(Order("o1"))).outcome()
        assert isinstance(outcome, Compensated)
        assert outcome.failure is not None
        assert "transaction is aborted" in outcome.failure.message
    assert await entries(rows) == []


async def test_a_timeout_is_no_doubt(dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    tries = 0

    @step(transactional=True, timeout=timedelta(seconds=1), unknown_retry_policy=AT_ONCE)  # the third try is in time
    async def slow(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal tries
        tries += 1
        await write(ctx, f"try {tries}")
        if tries == 1:
            await ctx.connection.execute("SELECT pg_sleep(60)")
        if tries == 2:
            await asyncio.sleep(60)
        return Done("slow")

    async with SagaOrchestrator(dsn) as orchestrator:
        seen = Observed(orchestrator)
        handle = orchestrator.register("shop", saga_of(slow))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)
        failed = seen.all(AttemptFailed)
        assert [each.outlook.may_have_run for each in failed] == [False, False]
        assert [each.outlook.counted for each in failed] == [(1, 4), (2, 4)]
    assert await entries(rows) == ["try 3"]


async def test_timeouts_without_end_are_undone_and_nothing_is_left_over(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True, timeout=timedelta(seconds=0.05), unknown_retry_policy=AT_ONCE)
    async def slow(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "slow")
        await asyncio.sleep(60)
        return Done("slow")

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(slow))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Compensated)
    assert await entries(rows) == []


async def test_a_deferred_constraint_fails_the_step(dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    await rows.execute("ALTER TABLE shop.entry ADD UNIQUE (what) DEFERRABLE INITIALLY DEFERRED")
    await rows.execute("INSERT INTO shop.entry VALUES ('s0 o1')")

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(book))
        outcome = await (await handle.start(Order("o1"))).outcome()
        assert isinstance(outcome, Compensated)
        assert outcome.failure is not None
        assert outcome.failure.type == "UniqueViolationError"
    assert await entries(rows) == ["s0 o1"]


async def test_a_message_that_comes_meanwhile_is_read_and_the_transaction_goes_on(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    begun, go_on, calls = asyncio.Event(), asyncio.Event(), 0

    @step(transactional=True)
    async def waits(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        await write(ctx, "waited")
        begun.set()
        await go_on.wait()
        return Done("waited")

    # Without listening it does not hear of the message before its commit does.
    async with SagaOrchestrator(dsn, listen=False) as orchestrator, SagaOrchestrator(dsn, concurrency=0) as other:
        definition = saga_of(waits, book)
        handle = orchestrator.register("shop", definition)
        other.register("shop", definition)
        run = await handle.start(Order("o1"))
        await begun.wait()
        explained = await SagaAdmin(orchestrator).explain(run.id)
        assert "step s0 is being executed in a transaction, and touches the database alone, attempt 1" in str(explained)
        asked = asyncio.create_task(SagaAdmin(other).cancel(run.id))
        while not await rows.fetchval("SELECT inbox_sent FROM saga_fn.saga WHERE id = $1", run.id):
            await asyncio.sleep(0.01)
        go_on.set()
        await asked
        assert isinstance(await run.outcome(), Compensated)
    assert calls == 1
    assert await entries(rows) == ["waited"]


async def test_the_loser_of_a_saga_leaves_no_row(dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    late: list[str] = []

    @step(transactional=True)
    async def slow(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "late" if not begun.is_set() else "second")
        if not begun.is_set():
            begun.set()
            await go_on.wait()
            late.append("returned")
        return Done("slow")

    definition = saga_of(slow)
    async with SagaOrchestrator(dsn) as first, SagaOrchestrator(dsn, concurrency=4) as second:
        seen = Observed(first)
        run = await first.register("shop", definition).start(Order("o1"))
        await begun.wait()
        second.register("shop", definition)
        # Its lease is lost behind its back.
        await rows.execute("UPDATE saga_fn.saga SET due_at = now() WHERE id = $1", run.id)
        while not await rows.fetch("SELECT 1 FROM saga_fn.saga WHERE status = 'COMPLETED'"):
            await asyncio.sleep(0.01)
        go_on.set()
        await until(lambda: bool(late) or not first.engine.held)
        await until(lambda: not first.engine.held)
        assert isinstance(await run.outcome(), Completed)
        assert seen.all(LateWriteRefused) or not late
    assert await entries(rows) == ["second"]


async def test_a_crash_in_the_middle_leaves_nothing_and_is_no_doubt(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    begun = asyncio.Event()

    @step(transactional=True)
    async def slow(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "second" if begun.is_set() else "first")
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(3600)
        return Done("slow")

    definition = saga_of(slow)
    lost = await born(SagaOrchestrator(dsn))
    run = await lost.register("shop", definition).start(Order("o1"))
    await begun.wait()
    await dies(lost)
    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", definition)
        assert isinstance(await handle.attach(run.id).outcome(), Completed)
    assert await entries(rows) == ["second"]


async def test_a_stop_that_cuts_it_short_leaves_nothing_and_the_next_owner_repeats_it(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    begun = asyncio.Event()

    @step(transactional=True)
    async def slow(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "second" if begun.is_set() else "first")
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(3600)
        return Done("slow")

    definition = saga_of(slow)
    async with SagaOrchestrator(dsn, stop_timeout=timedelta(milliseconds=50)) as first:
        run = await first.register("shop", definition).start(Order("o1"))
        await begun.wait()
    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", definition)
        assert isinstance(await handle.attach(run.id).outcome(), Completed)
        kinds = [each.kind for each in (await SagaAdmin(orchestrator).get_saga(run.id)).step_history]
        assert kinds == ["started", "handed_back", "resumed", "step_succeeded"]
    assert await entries(rows) == ["second"]


@pytest.mark.parametrize("borrowed", [False, True])
async def test_a_fan_out_wider_than_the_budget_waits_its_turn(
    borrowed: bool, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    running, most = 0, 0

    @step(transactional=True)
    async def one(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await write(ctx, inp.order_id)
        await asyncio.sleep(0.005)
        running -= 1
        return Done(inp.order_id)

    builder = SagaBuilder(Order)
    builder.add_step(one.each(concurrency=50), input_map=lambda _: [Order(f"{number:02}") for number in range(50)])
    definition = builder.build()
    async with asyncpg.create_pool(dsn, min_size=0, max_size=4) as pool:
        source: Any = pool if borrowed else dsn
        async with SagaOrchestrator(source, transactional_connections=3) as orchestrator:
            handle = orchestrator.register("shop", definition)
            runs = [await handle.start(Order("o")) for _ in range(3)]
            for run in runs:
                assert isinstance(await run.outcome(), Completed)
    assert most <= (1 if borrowed else 3)
    assert len(await entries(rows)) == 150


class TestRefused:
    async def test_on_a_memory_store(self) -> None:
        orchestrator = SagaOrchestrator(MemoryStore())
        with pytest.raises(SagaDefinitionError, match="MemoryStore has no transactions") as refused:
            orchestrator.register("shop", saga_of(book))
        assert "embedded" in str(refused.value)

    async def test_by_a_pool_without_a_connection_for_it(self, dsn: str) -> None:
        async with asyncpg.create_pool(dsn, min_size=0, max_size=2) as pool:
            orchestrator = SagaOrchestrator(pool)
            with pytest.raises(SagaDefinitionError, match="no connection for its transaction"):
                orchestrator.register("shop", saga_of(book))

    async def test_above_read_committed_with_more_time_than_half_a_lease(self, dsn: str) -> None:
        @step(transactional=True, isolation="serializable", timeout=timedelta(seconds=8))
        async def isolated(inp: Order, ctx: TransactionalContext) -> Done:
            return Done("isolated")

        orchestrator = SagaOrchestrator(dsn)
        with pytest.raises(SagaDefinitionError, match=r"half a lease is 7\.5 s"):
            orchestrator.register("shop", saga_of(isolated))
