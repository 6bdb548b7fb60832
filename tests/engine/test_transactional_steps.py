"""Transactional steps: what a step writes by `ctx.connection` is committed together with its result, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from typing_extensions import override

from saga_fn import (
    Compensated,
    Completed,
    ExponentialRetry,
    FixedRetry,
    MemoryStore,
    OutcomeUnknown,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaDefinitionError,
    SagaOrchestrator,
    SagaStateError,
    TransactionalContext,
    TransactionalStep,
    step,
)
from saga_fn.engine.drive import transactional
from saga_fn.engine.observe.of_process import LateWriteRefused
from saga_fn.engine.observe.of_sagas import AttemptFailed
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import Committed, SagaWrite, Standing
from saga_fn.store.step_transaction import PostgresTransaction
from tests.support.crash import born, dies
from tests.support.observed import Observed
from tests.support.shop import Done, Order
from tests.support.until import SOON, suspended, until
from tests.support.wire import Wire, wired

ONCE = FixedRetry(max_attempts=1)
SLEEP = b"SELECT pg_sleep"
SAGA_WRITE = b"until_commit"
"""In the write of a saga, and in no claim of one and no renewal of a lease."""
AT_ONCE = ExponentialRetry(max_attempts=4, base_delay=timedelta(milliseconds=1))


@pytest.fixture
async def rows(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the service's own, to the table that its steps write."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.entry (saga uuid, what text)")
    yield connection
    await connection.execute("DROP SCHEMA shop CASCADE")
    await connection.close()


async def entries(rows: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    return [row["what"] for row in await rows.fetch("SELECT what FROM shop.entry ORDER BY what")]


async def write(ctx: TransactionalContext, what: str) -> None:
    await ctx.connection.execute("INSERT INTO shop.entry VALUES ($1, $2)", ctx.saga_id, what)


@step(transactional=True)
async def book(inp: Order, ctx: TransactionalContext) -> Done:
    await write(ctx, f"{ctx.step_id} {inp.order_id}")
    return Done(ctx.step_id)


async def no_transaction_is_left(rows: asyncpg.Connection[asyncpg.Record]) -> None:
    """The server has noticed by itself that nobody is at the other end."""
    async with asyncio.timeout(SOON):
        while await rows.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'saga_fn s%'"
        ):
            await asyncio.sleep(0.05)


def saga_of(*steps: Any, **options: Any) -> SagaDefinition[Order, None]:  # Any: steps of all types
    builder = SagaBuilder(Order, **options)
    for number, each in enumerate(steps):
        builder.add_step(each, input_map=lambda ctx: ctx.initial_data, step_id=f"s{number}")
    return builder.build()


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


async def test_a_deferred_constraint_fails_the_step(dsn: str, rows: asyncpg.Connection[asyncpg.Record]) -> None:
    await rows.execute("ALTER TABLE shop.entry ADD UNIQUE (what) DEFERRABLE INITIALLY DEFERRED")
    await rows.execute("INSERT INTO shop.entry VALUES (NULL, 's0 o1')")

    async with SagaOrchestrator(dsn) as orchestrator:
        handle = orchestrator.register("shop", saga_of(book))
        outcome = await (await handle.start(Order("o1"))).outcome()
        assert isinstance(outcome, Compensated)
        assert outcome.failure is not None
        assert outcome.failure.type == "UniqueViolationError"
    assert await entries(rows) == ["s0 o1"]


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
    lost = await born(SagaOrchestrator(dsn, lease=timedelta(seconds=1)))
    run = await lost.register("shop", definition).start(Order("o1"))
    await begun.wait()
    await dies(lost)
    async with SagaOrchestrator(dsn, lease=timedelta(seconds=1)) as orchestrator:
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
            if is_late:  # and none of the time counts in which nobody can be asked
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


async def test_a_statement_left_running_fails_the_step_and_says_so(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    left = list[asyncio.Task[str]]()

    @step(transactional=True, retry_policy=ONCE)
    async def leaves(inp: Order, ctx: TransactionalContext) -> Done:
        await write(ctx, "left")
        left.append(asyncio.create_task(ctx.connection.execute("SELECT pg_sleep(3600)")))
        await asyncio.sleep(0)
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
        while await rows.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%'"):
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
