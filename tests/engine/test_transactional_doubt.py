"""A transactional step whose connection, COMMIT or clients give no answer: it is in doubt only where something of it may stand."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from saga_fn import (
    Completed,
    OutcomeUnknown,
    SagaAdmin,
    SagaOrchestrator,
    TransactionalContext,
    step,
)
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import Standing
from saga_fn.store.step_transaction import PostgresTransaction
from tests.support.shop import Done, Order
from tests.support.transactional import (
    AT_ONCE,
    SAGA_WRITE,
    SLEEP,
    book,
    entries,
    no_transaction_is_left,
    saga_of,
    write,
)
from tests.support.until import SOON, suspended, until
from tests.support.wire import Wire, wired


@pytest.mark.parametrize("ended", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN"])
async def test_a_step_that_ends_its_own_transaction_is_parked(
    ended: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True)
    async def meddles(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "meddled")
        await ctx.connection.execute(ended)
        return Done("meddled")

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(meddles))
        run = await handle.start(Order("o1"))
        await suspended(run)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert (seen.parked, seen.last_error) == ("outcome_unknown", "TransactionEndedError")
        assert "leave COMMIT and ROLLBACK" in str(seen.step_history[-1].error)
        (why,) = (await SagaAdmin(orchestrator).explain(run.id)).reasons
        assert "the step has ended its own transaction" in why.text
        assert "look whether its rows are there" in str(why.mend)
        previews = (await SagaAdmin(orchestrator).explain(run.id)).verbs
        warned = {each.verb.value for each in previews if each.is_legal and each.rows_may_stand == ("s0",)}
        assert "retry_step" in warned
        assert "settle_done" not in warned, "then it does not run again"
        (again,) = (each for each in previews if each.verb.value == "retry_step" and each.is_legal)
        assert "the rows of s0 may be there, and would be written a second time" in again.text
    assert await entries(rows) == (["meddled"] if "COMMIT" in ended else [])


async def test_another_name_of_the_application_is_no_end_of_the_transaction(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True)
    async def named(inp: Order, ctx: TransactionalContext) -> Done:
        await ctx.connection.execute("SET application_name = 'shop'")
        await write(ctx, "named")
        return Done("named")

    async with SagaOrchestrator(dsn, transactional_connections=1) as orchestrator:
        handle = orchestrator.register("shop", saga_of(named, book))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)
    assert await entries(rows) == ["named", "s1 o1"]


async def test_a_client_that_leaves_its_outcome_open_parks_the_step(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True)
    async def calls(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "called")
        raise OutcomeUnknown("the other system did not answer")

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(calls))
        run = await handle.start(Order("o1"))
        await suspended(run)
        assert (await run.snapshot()).parked == "outcome_unknown"
        (why,) = (await SagaAdmin(orchestrator).explain(run.id)).reasons
        assert "the other system did not answer" in why.text
        assert "its rows are rolled back: ask that system" in str(why.mend)
    assert await entries(rows) == []


@pytest.mark.parametrize("borrowed", [False, True])
async def test_a_connection_that_breaks_is_no_doubt(
    borrowed: bool, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    tries = 0

    @step(transactional=True, unknown_retry_policy=AT_ONCE)
    async def broken(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal tries
        tries += 1
        await write(ctx, f"try {tries}")
        if tries == 1:
            await rows.execute("SELECT pg_terminate_backend($1)", ctx.connection.get_server_pid())
            await ctx.connection.execute("SELECT 1")
        if tries == 2:
            ctx.connection.terminate()
        return Done("broken")

    async with asyncpg.create_pool(dsn, min_size=0, max_size=4) as pool:
        source: Any = pool if borrowed else dsn
        async with SagaOrchestrator(source) as orchestrator:
            handle = orchestrator.register("shop", saga_of(broken))
            assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)
    assert await entries(rows) == ["try 3"]


@pytest.mark.parametrize("which", ["request", "answer"])
async def test_an_answer_to_commit_that_was_lost_is_looked_up(
    which: Any, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    calls = 0
    wire = Wire(dsn)
    serving = await wire.serve()

    @step(transactional=True, unknown_retry_policy=AT_ONCE)
    async def cut(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        await write(ctx, "cut")
        if calls == 1:
            wire.lose(which, b"COMMIT;")
        return Done("cut")

    async with SagaOrchestrator(wire.dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(cut, book))
        assert isinstance(await (await handle.start(Order("o1"))).outcome(), Completed)
        assert wire.cuts == 1
    await wire.close()
    serving.close()
    assert calls == (1 if which == "answer" else 2)
    assert await entries(rows) == ["cut", "s1 o1"]


@pytest.mark.parametrize("cuts", [1, 2])
@pytest.mark.parametrize("silent", [False, True], ids=["answer lost", "no answer yet"])
async def test_a_saga_that_is_lost_while_its_commit_is_looked_up_is_given_up(
    silent: bool, cuts: int, dsn: str, rows: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, looks, look_on = 0, asyncio.Event(), asyncio.Event()
    standing = PostgresStore.standing

    async def slow_standing(store: PostgresStore, saga_id: UUID, seq: int) -> Standing | None:
        looks.set()
        await look_on.wait()
        return await standing(store, saga_id, seq)

    async with wired(dsn) as wire:

        @step(transactional=True, unknown_retry_policy=AT_ONCE)
        async def cut(inp: Order, ctx: TransactionalContext) -> Done:
            nonlocal calls
            calls += 1
            await write(ctx, "cut")
            if calls == 1:
                monkeypatch.setattr(PostgresStore, "standing", slow_standing)
                (wire.silence_at if silent else wire.lose)("request", b"COMMIT;")
            return Done("cut")

        async with SagaOrchestrator(wire.dsn, lease=timedelta(seconds=2)) as orchestrator:
            engine = orchestrator.engine
            run = await orchestrator.register("shop", saga_of(cut)).start(Order("o1"))
            await until(lambda: bool(wire.cuts + wire.silences))
            if not silent:
                await looks.wait()
            interpreter = engine.held[run.id]
            engine.lose(run.id)
            await looks.wait()
            if cuts == 2:
                for task in interpreter.stopping:
                    task.cancel()
            await asyncio.sleep(0)
            look_on.set()
            await until(lambda: interpreter.over)
            assert isinstance(await run.outcome(), Completed)
    assert await entries(rows) == ["cut"]


@pytest.mark.parametrize("then", ["raises", "is cut short"])
async def test_a_step_that_commits_and_fails_is_parked(
    then: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True, timeout=timedelta(seconds=1), retry_policy=AT_ONCE, unknown_retry_policy=AT_ONCE)
    async def meddles(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "meddled")
        await ctx.connection.execute("COMMIT")
        if then == "raises":
            raise KeyError(then)
        await asyncio.sleep(3600)
        return Done("meddled")

    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register("shop", saga_of(meddles)).start(Order("o1"))
        await suspended(run)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert (seen.parked, seen.last_error) == ("outcome_unknown", "TransactionEndedError")
    assert await entries(rows) == ["meddled"]


@pytest.mark.parametrize("ended", ["COMMIT", "COMMIT AND CHAIN", "COMMIT; BEGIN", "ROLLBACK"])
@pytest.mark.parametrize("how", ["closed by the step", "closed, and the step fails", "ended by the server"])
async def test_a_step_that_ends_its_transaction_and_loses_its_connection_is_parked(
    ended: str, how: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True, retry_policy=AT_ONCE, unknown_retry_policy=AT_ONCE)
    async def meddles(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "meddled")
        server = ctx.connection.get_server_pid()
        await ctx.connection.execute(ended)
        if how == "ended by the server":
            await rows.execute("SELECT pg_terminate_backend($1, 5000)", server)
            await ctx.connection.execute("SELECT 1")
        ctx.connection.terminate()
        if how == "closed, and the step fails":
            raise KeyError(how)
        return Done("meddled")

    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register("shop", saga_of(meddles)).start(Order("o1"))
        await suspended(run)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert (seen.parked, seen.last_error) == ("outcome_unknown", "TransactionEndedError")
    assert await entries(rows) == (["meddled"] if "COMMIT" in ended else [])


@pytest.mark.parametrize("which", ["request", "answer"])
async def test_whether_a_step_has_committed_is_looked_up_when_its_own_commit_is_lost(
    which: Any, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    calls = 0
    async with wired(dsn) as wire:

        @step(transactional=True, unknown_retry_policy=AT_ONCE)
        async def meddles(inp: Order, ctx: TransactionalContext) -> Done:
            nonlocal calls
            calls += 1
            await write(ctx, "meddled")
            if calls == 1:
                wire.lose(which, b"COMMIT /* mine */")
                await ctx.connection.execute("COMMIT /* mine */")
            return Done("meddled")

        async with SagaOrchestrator(wire.dsn) as orchestrator:
            run = await orchestrator.register("shop", saga_of(meddles)).start(Order("o1"))
            if which == "answer":
                await suspended(run)
                seen = await SagaAdmin(orchestrator).get_saga(run.id)
                assert (seen.parked, seen.last_error) == ("outcome_unknown", "TransactionEndedError")
            else:
                assert isinstance(await run.outcome(), Completed)
        assert wire.cuts == 1
    assert calls == (1 if which == "answer" else 2)
    assert await entries(rows) == ["meddled"]


@pytest.mark.parametrize("is_late", [False, True], ids=["the server is back in time", "the server is back late"])
async def test_a_step_whose_own_commit_has_no_answer_while_the_server_is_away_is_not_repeated(
    is_late: bool, dsn: str, rows: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    may_stand = PostgresTransaction._may_stand  # pyright: ignore[reportPrivateUsage] - the window is in it
    async with wired(dsn) as wire:

        async def comes_back(opened: PostgresTransaction) -> bool:
            if is_late:  # and none of the time counts in which no server can be asked
                monkeypatch.setattr(opened, "_time_limit", 0.05)
            asyncio.get_running_loop().call_later(0.5 if is_late else 0.2, setattr, wire, "down", False)
            try:
                return await may_stand(opened)
            finally:
                wire.down = False

        monkeypatch.setattr(PostgresTransaction, "_may_stand", comes_back)

        @step(transactional=True, unknown_retry_policy=AT_ONCE)
        async def meddles(inp: Order, ctx: TransactionalContext) -> Done:
            nonlocal calls
            calls += 1
            await write(ctx, "meddled")
            wire.lose("answer", b"COMMIT /* mine */")
            try:
                await ctx.connection.execute("COMMIT /* mine */")
            finally:
                wire.down = True
                wire.cut()
            return Done("meddled")

        definition = saga_of(meddles)
        async with SagaOrchestrator(wire.dsn) as orchestrator, SagaOrchestrator(dsn, concurrency=0) as other:
            orchestrator.register("shop", definition)
            run = await other.register("shop", definition).start(Order("o1"))
            await suspended(run)
            seen = await SagaAdmin(other).get_saga(run.id)
            assert (seen.parked, seen.last_error) == ("outcome_unknown", "TransactionEndedError")
        assert wire.cuts == 1
    assert calls == 1
    assert await entries(rows) == ["meddled"]


@pytest.mark.parametrize("how", ["fetch", "cursor", "an application's name"])
async def test_a_connection_that_breaks_at_a_harmless_statement_is_no_doubt(
    how: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    calls, harmless = 0, "SELECT CASE WHEN true THEN 'commit' END"

    @step(transactional=True, unknown_retry_policy=AT_ONCE)
    async def broken(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        await write(ctx, f"call {calls}")
        if how == "an application's name":
            await ctx.connection.execute("SET LOCAL application_name = 'shop'")
        if calls == 1:
            await rows.execute("SELECT pg_terminate_backend($1, 5000)", ctx.connection.get_server_pid())
        if how == "cursor":
            assert [row[0] async for row in ctx.connection.cursor(harmless)] == ["commit"]
        elif how == "fetch":
            await ctx.connection.fetch(harmless)
        else:
            await ctx.connection.fetch("SELECT 1")
        return Done("broken")

    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register("shop", saga_of(broken)).start(Order("o1"))
        assert isinstance(await run.outcome(), Completed)
    assert await entries(rows) == ["call 2"]


@pytest.mark.parametrize("is_in_doubt", [True, False])
async def test_a_transaction_that_stays_in_progress_as_if_prepared_counts_as_its_last_answer_says(
    is_in_doubt: bool, dsn: str, rows: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    may_stand = PostgresTransaction._may_stand  # pyright: ignore[reportPrivateUsage] - the window is in it

    async def hastily(opened: PostgresTransaction) -> bool:
        monkeypatch.setattr(opened, "_time_limit", 0.2)
        return await may_stand(opened)

    monkeypatch.setattr(PostgresTransaction, "_may_stand", hastily)

    @step(transactional=True, unknown_retry_policy=AT_ONCE)
    async def prepares(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        if calls == 1:
            lent: Any = ctx.connection  # Any: what it keeps is no part of the connection's type
            await lent.execute("SELECT 'PREPARE TRANSACTION'")
            assert lent.number is not None
            lent.number, lent.is_in_doubt = number, is_in_doubt
            lent.terminate()
        return Done("prepared")

    async with SagaOrchestrator(dsn) as orchestrator, rows.transaction():
        number = await rows.fetchval("SELECT pg_current_xact_id()::text")
        run = await orchestrator.register("shop", saga_of(prepares)).start(Order("o1"))
        if is_in_doubt:
            await suspended(run)
            assert (await run.snapshot()).parked == "outcome_unknown"
        else:
            assert isinstance(await run.outcome(), Completed)
    assert calls == (1 if is_in_doubt else 2)


class TestSilence:
    """The server, or the way to it, falls silent without a word: nothing is closed."""

    @pytest.mark.parametrize(
        "which, marker",
        [
            ("request", SLEEP),
            ("answer", SLEEP),
            ("request", SAGA_WRITE),
            ("answer", SAGA_WRITE),
            ("request", b"COMMIT;"),
            ("answer", b"COMMIT;"),
        ],
    )
    async def test_ends_in_time_and_the_row_is_there_once(
        self, which: Any, marker: bytes, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
    ) -> None:
        calls = 0
        async with wired(dsn) as wire:

            @step(transactional=True, timeout=timedelta(seconds=2), unknown_retry_policy=AT_ONCE)
            async def silenced(inp: Order, ctx: TransactionalContext) -> Done:
                nonlocal calls
                calls += 1
                await write(ctx, f"call {calls}")
                if calls == 1:
                    wire.silence_at(which, marker)
                    if marker == SLEEP:
                        await ctx.connection.execute("SELECT pg_sleep(0)")
                return Done("silenced")

            async with (
                asyncio.timeout(2 * SOON),
                SagaOrchestrator(wire.dsn, lease=timedelta(seconds=15)) as orchestrator,
            ):
                handle = orchestrator.register("shop", saga_of(silenced, book))
                run = await handle.start(Order("o1"))
                assert isinstance(await run.outcome(), Completed)
                kinds = [each.kind for each in (await SagaAdmin(orchestrator).get_saga(run.id)).step_history]
            assert wire.silences == 1
        assert calls == (1 if (which, marker) == ("answer", b"COMMIT;") else 2)
        assert kinds.count("step_succeeded") == 2
        assert await entries(rows) == [f"call {calls}", "s1 o1"]
        await no_transaction_is_left(rows)
