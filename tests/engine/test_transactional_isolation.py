"""Transactional steps above READ COMMITTED: what is written meanwhile costs a repeat, and the sixth conflict a person."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from saga_fn import (
    Compensated,
    Completed,
    SagaAdmin,
    SagaOrchestrator,
    SagaStateError,
    TransactionalContext,
    step,
)
from saga_fn.engine.drive import transactional
from saga_fn.store.records import Committed, SagaWrite
from saga_fn.store.step_transaction import PostgresTransaction
from tests.support.shop import Done, Order
from tests.support.transactional import (
    ONCE,
    book,
    entries,
    saga_of,
    write,
)
from tests.support.until import suspended, until


class TestIsolation:
    async def test_a_conflict_costs_a_repeat(self, dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
        await rows.execute("CREATE TABLE shop.stock (n int); INSERT INTO shop.stock VALUES (1)")
        calls = 0

        @step(transactional=True, isolation="repeatable_read", timeout=timedelta(seconds=5))
        async def takes(inp: Order, ctx: TransactionalContext) -> Done:
            nonlocal calls
            calls += 1
            found = await ctx.connection.fetchval("SELECT n FROM shop.stock")
            if calls == 1:
                await rows.execute("UPDATE shop.stock SET n = n + 1")
            await ctx.connection.execute("UPDATE shop.stock SET n = $1", found + 10)
            return Done("taken")

        async with SagaOrchestrator(dsn) as orchestrator:
            run = await orchestrator.register("shop", saga_of(takes)).start(Order("o1"))
            assert isinstance(await run.outcome(), Completed)
            kinds = [each.kind for each in (await SagaAdmin(orchestrator).get_saga(run.id)).step_history]
            assert kinds == ["started", "step_succeeded"]
        assert calls == 2
        assert await rows.fetchval("SELECT n FROM shop.stock") == 12

    async def test_a_renewal_meanwhile_costs_a_repeat(self, dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
        calls = 0

        @step(transactional=True, isolation="serializable", timeout=timedelta(seconds=5))
        async def renewed(inp: Order, ctx: TransactionalContext) -> Done:
            nonlocal calls
            calls += 1
            await write(ctx, f"try {calls}")
            if calls == 1:
                await rows.execute("UPDATE saga_fn.saga SET due_at = due_at + interval '1 second'")
            return Done("renewed")

        async with SagaOrchestrator(dsn) as orchestrator:
            run = await orchestrator.register("shop", saga_of(renewed)).start(Order("o1"))
            assert isinstance(await run.outcome(), Completed)
        assert await entries(rows) == ["try 2"]

    async def test_conflicts_without_end_park_the_step(
        self, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        calls = 0

        @step(transactional=True, isolation="repeatable_read", timeout=timedelta(seconds=5))
        async def unlucky(inp: Order, ctx: TransactionalContext) -> Done:
            nonlocal calls
            calls += 1
            await write(ctx, "unlucky")
            await rows.execute("UPDATE saga_fn.saga SET due_at = due_at + interval '1 second'")
            return Done("unlucky")

        async with SagaOrchestrator(dsn) as orchestrator:
            run = await orchestrator.register("shop", saga_of(unlucky)).start(Order("o1"))
            await suspended(run)
            assert (await run.snapshot()).parked == "conflicts"
        assert calls == 6
        assert await entries(rows) == []

    @pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
    async def test_a_message_that_was_read_after_its_snapshot_costs_a_repeat(
        self, isolation: Any, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        begun, go_on, calls = asyncio.Event(), asyncio.Event(), 0

        @step(transactional=True, isolation=isolation, timeout=timedelta(seconds=7))
        async def isolated(inp: Order, ctx: TransactionalContext) -> Done:
            nonlocal calls
            calls += 1
            await write(ctx, f"call {calls}")
            begun.set()
            await go_on.wait()
            return Done("isolated")

        async with SagaOrchestrator(dsn) as orchestrator, SagaOrchestrator(dsn, concurrency=0) as other:
            definition = saga_of(isolated, book)
            handle = orchestrator.register("shop", definition)
            other.register("shop", definition)
            run = await handle.start(Order("o1"))
            await begun.wait()
            with pytest.raises(SagaStateError):  # read, refused and noted: the saga itself is as before
                await SagaAdmin(other).resume_saga(run.id)
            interpreter = orchestrator.engine.held[run.id]
            interpreter.recheck_inbox(1)  # as a renewal of the lease says it
            await until(lambda: interpreter.saga.inbox_seen == 1)
            go_on.set()
            async with asyncio.timeout(10):  # later the server would end the transaction by itself
                assert isinstance(await run.outcome(), Completed)
        assert calls > 1
        assert await entries(rows) == [f"call {calls}", "s1 o1"]

    async def test_a_step_cannot_change_it(self, dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
        @step(transactional=True, retry_policy=ONCE)
        async def changes(inp: Order, ctx: TransactionalContext) -> Done:
            await ctx.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return Done("changed")

        async with SagaOrchestrator(dsn) as orchestrator:
            outcome = await (await orchestrator.register("shop", saga_of(changes)).start(Order("o1"))).outcome()
            assert isinstance(outcome, Compensated)
            assert outcome.failure is not None
            assert outcome.failure.type == "ActiveSQLTransactionError"

    async def test_a_write_that_never_matches_is_given_up(
        self, dsn: str, rows: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls, tries, written = 0, 0, PostgresTransaction.write

        async def matches_nothing(opened: PostgresTransaction, write: SagaWrite) -> Committed:
            nonlocal tries
            tries += 1
            if calls > 1:
                return await written(opened, write)
            return msgspec.structs.replace(await written(opened, write), inbox_sent={})

        monkeypatch.setattr(PostgresTransaction, "write", matches_nothing)
        monkeypatch.setattr(transactional, "_MOST_LOOKS", 3)

        @step(transactional=True)
        async def old(inp: Order, ctx: TransactionalContext) -> Done:
            nonlocal calls
            calls += 1
            await write(ctx, f"call {calls}")
            return Done("old")

        async with SagaOrchestrator(dsn) as orchestrator:
            run = await orchestrator.register("shop", saga_of(old)).start(Order("o1"))
            assert isinstance(await run.outcome(), Completed)
        assert (calls, tries) == (2, 4)
        assert await entries(rows) == ["call 2"]
