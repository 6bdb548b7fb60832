"""A transactional step that ends its own transaction, or does not, and then fails: it is repeated only if nothing of it can stand."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from typing_extensions import override

from saga_fn import (
    Compensated,
    Completed,
    FixedRetry,
    SagaAdmin,
    SagaBuilder,
    SagaOrchestrator,
    TransactionalContext,
    step,
)
from saga_fn.store.step_transaction import (
    _CAME_TO,  # pyright: ignore[reportPrivateUsage] - the statement by itself
    PostgresTransaction,
)
from tests.support.shop import Done, Order
from tests.support.transactional import entries, saga_of
from tests.support.until import SOON, suspended
from tests.support.wire import wired

TWICE = FixedRetry(max_attempts=2)
wait_for_waits_itself = sys.version_info >= (3, 12)
"""Whether `asyncio.wait_for` awaits in the task that calls it. Before, it begins another."""
STANDS = "INSERT INTO shop.entry VALUES ('stands')"


ENDS = {
    "committed and chained": ["{stands}", "COMMIT AND CHAIN"],
    "committed and begun": ["{stands}", "COMMIT", "BEGIN"],
    "committed and begun in one": ["{stands}; COMMIT; BEGIN"],
    "ended by another word": ["{stands}", "END", "BEGIN"],
    "committed by a prepared statement": ["{stands}", "prepare COMMIT", "BEGIN"],
    "named and committed": ["SET application_name = 'shop'", "{stands}", "COMMIT AND CHAIN"],
    "named for itself and committed": ["SET LOCAL application_name = 'shop'", "{stands}", "COMMIT AND CHAIN"],
    "rolled back, then by itself": ["ROLLBACK", "{stands}", "BEGIN"],
    "rolled back, all in one": ["ROLLBACK; {stands}; COMMIT; BEGIN"],
    "rolled back after a remark": ["-- from here on\nROLLBACK; /* and */ {stands}; COMMIT; BEGIN"],
    "rolled back and chained": ["ROLLBACK AND CHAIN", "{stands}", "COMMIT AND CHAIN"],
    "rolled back by the driver": ["reset", "{stands}", "BEGIN"],
}


EACH_WAY = ["committed and chained", "named and committed", "rolled back, then by itself"]


@pytest.mark.parametrize(
    "borrowed, end, then",
    [
        *((False, end, then) for end in ENDS for then in ("fails", "breaks")),
        *(
            (False, end, then)
            for end in EACH_WAY
            for then in ("goes on", "fails and breaks", "fails inside a savepoint")
        ),
        *((True, end, then) for end in EACH_WAY for then in ("fails", "breaks")),
    ],
)
async def test_a_step_that_ends_its_transaction_is_parked_whatever_becomes_of_the_next_one(
    borrowed: bool, end: str, then: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    calls = 0

    @step(transactional=True, retry_policy=TWICE, unknown_retry_policy=TWICE)
    async def meddles(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        connection = ctx.connection
        server = connection.get_server_pid()
        for each in ENDS[end]:
            if each == "reset":
                await connection.reset()
            elif each.startswith("prepare "):
                await (await connection.prepare(each.removeprefix("prepare "))).fetch()
            else:
                await connection.execute(each.format(stands=STANDS))
        if then == "fails":
            await connection.execute("SELECT 1 / 0")
        elif then == "fails inside a savepoint":
            await connection.execute("SAVEPOINT here")
            await connection.execute("SELECT 1 / 0")
        elif then in {"goes on", "fails and breaks"}:
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.execute("SELECT 1 / 0")
        if "breaks" in then:
            await rows.execute("SELECT pg_terminate_backend($1, 5000)", server)
            await connection.execute("SELECT 1")
        return Done("meddled")

    async with asyncpg.create_pool(dsn, min_size=0, max_size=3) as pool:
        source: Any = pool if borrowed else dsn
        async with SagaOrchestrator(source) as orchestrator:
            run = await orchestrator.register("shop", saga_of(meddles)).start(Order("o1"))
            await suspended(run)
            seen = await SagaAdmin(orchestrator).get_saga(run.id)
            assert (seen.parked, seen.last_error) == ("outcome_unknown", "TransactionEndedError")
    assert calls == 1
    assert await entries(rows) == ["stands"]


HARMLESS = {
    "nothing": [],
    "a name": ["SET application_name = 'shop'"],
    "a name for itself": ["SET LOCAL application_name = 'shop'"],
    "a savepoint": [
        "SAVEPOINT here",
        "ROLLBACK TO SAVEPOINT here",
        "ROLLBACK WORK TO here",
        "rollback transaction to here",
    ],
    "words": [
        "DO $$ BEGIN PERFORM 1; END $$",
        "SELECT CASE WHEN true THEN 'rollback; commit' END",
        "SELECT 1 AS abort",
    ],
    "a prepared word": ["prepare SELECT CASE WHEN true THEN 1 END"],
}


@pytest.mark.parametrize("borrowed", [False, True])
@pytest.mark.parametrize("how", HARMLESS)
async def test_a_step_that_fails_in_its_own_transaction_is_repeated(
    how: str, borrowed: bool, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    calls = 0

    @step(transactional=True, retry_policy=TWICE)
    async def fails(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        connection = ctx.connection
        await connection.execute(STANDS)
        for each in HARMLESS[how]:
            if each.startswith("prepare "):
                await (await connection.prepare(each.removeprefix("prepare "))).fetch()
            else:
                await connection.execute(each)
        if calls == 1 or inp.order_id == "never":
            await connection.execute("SELECT 1 / 0")
        return Done("done")

    async with asyncpg.create_pool(dsn, min_size=0, max_size=3) as pool:
        source: Any = pool if borrowed else dsn
        async with SagaOrchestrator(source) as orchestrator:
            handle = orchestrator.register("shop", saga_of(fails))
            assert isinstance(await (await handle.start(Order("at last"))).outcome(), Completed)
            assert isinstance(await (await handle.start(Order("never"))).outcome(), Compensated)
    assert calls == 4
    assert await entries(rows) == ["stands"]


@pytest.mark.parametrize("how", ["a case", "a block", "a prepared case"])
async def test_a_step_that_ends_nothing_is_repeated_however_long_the_server_was_away(
    how: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    may_stand = PostgresTransaction._may_stand  # pyright: ignore[reportPrivateUsage] - the window is in it
    statement = {
        "a case": "SELECT CASE WHEN true THEN 1 END /* mine */",
        "a block": "DO $$ BEGIN PERFORM 1; END $$ /* mine */",
        "a prepared case": "SELECT 1 /* mine */",
    }[how]
    async with wired(dsn) as wire:

        async def comes_back(opened: PostgresTransaction) -> bool:
            monkeypatch.setattr(opened, "_time_limit", 0.05)
            asyncio.get_running_loop().call_later(0.5, setattr, wire, "down", False)
            return await may_stand(opened)

        monkeypatch.setattr(PostgresTransaction, "_may_stand", comes_back)

        @step(transactional=True, unknown_retry_policy=TWICE)
        async def books(inp: Order, ctx: TransactionalContext) -> Done:
            nonlocal calls
            calls += 1
            await ctx.connection.execute(STANDS)
            if calls == 1:
                if how == "a prepared case":
                    prepared = await ctx.connection.prepare("SELECT CASE WHEN true THEN 1 END")
                    assert await prepared.fetchval() == 1
                wire.lose("request", b"/* mine */")
                try:
                    await ctx.connection.execute(statement)
                finally:
                    wire.down = True
                    wire.cut()
            return Done("booked")

        definition = saga_of(books)
        async with SagaOrchestrator(wire.dsn) as orchestrator, SagaOrchestrator(dsn, concurrency=0) as other:
            orchestrator.register("shop", definition)
            run = await other.register("shop", definition).start(Order("o1"))
            assert isinstance(await run.outcome(), Completed)
    assert calls == 2
    assert await entries(rows) == ["stands"]


async def test_a_pool_gets_its_connection_back_under_the_name_that_it_had(
    dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    async def keep(connection: object) -> None:
        """The pool resets nothing."""

    @step(transactional=True, retry_policy=FixedRetry(max_attempts=1))
    async def books(inp: Order, ctx: TransactionalContext) -> Done:
        await ctx.connection.execute(STANDS)
        if inp.order_id == "fails":
            raise KeyError(inp.order_id)
        if inp.order_id == "commits":
            await ctx.connection.execute("COMMIT")
        return Done("booked")

    settings = {"application_name": "it's \\ the shop"}
    async with (
        asyncpg.create_pool(dsn, min_size=0, max_size=3, server_settings=settings, reset=keep) as pool,
        SagaOrchestrator(pool) as orchestrator,
    ):
        handle = orchestrator.register("shop", saga_of(books))
        for how in ("books", "fails", "commits", "books again"):
            run = await handle.start(Order(how))
            await (suspended(run) if how == "commits" else run.outcome())
            found = await rows.fetch(
                "SELECT DISTINCT application_name AS name FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert [row["name"] for row in found] == ["it's \\ the shop"]


@pytest.mark.parametrize(
    "how", ["its saga is aborted", "its saga is lost", "its conflict is of no use any more", "its connection is lost"]
)
async def test_a_step_that_goes_on_though_it_was_cut_short_keeps_no_connection(
    how: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, calls = asyncio.Event(), 0

    async def no_server_answers(opened: PostgresTransaction) -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(PostgresTransaction, "_may_stand", no_server_answers)

    @step(transactional=True)
    async def deaf(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        await ctx.connection.execute("INSERT INTO shop.entry VALUES ('deaf')")
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        if "connection" in how:
            await rows.execute("SELECT pg_terminate_backend($1, 5000)", ctx.connection.get_server_pid())
            await ctx.connection.execute("SELECT 1")
        if "conflict" in how:
            await ctx.connection.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")
        return Done("deaf")

    @step(transactional=True)
    async def books(inp: Order, ctx: TransactionalContext) -> Done:
        await ctx.connection.execute(STANDS)
        return Done("booked")

    async with SagaOrchestrator(dsn, transactional_connections=1) as orchestrator:
        handle, other = orchestrator.register("deaf", saga_of(deaf)), orchestrator.register("shop", saga_of(books))
        run = await handle.start(Order("o1"))
        await begun.wait()
        if how == "its saga is lost":
            orchestrator.engine.held[run.id].lose()
        else:
            await SagaAdmin(orchestrator).abort(run.id)
        async with asyncio.timeout(SOON):
            assert isinstance(await (await other.start(Order("o2"))).outcome(), Completed)
    assert calls == 1
    assert await entries(rows) == ["stands"]


@pytest.mark.parametrize(
    "how", ["its timeout=", *(["wait_for"] if wait_for_waits_itself else []), "asyncio.timeout", "the pool's"]
)
async def test_a_time_limit_of_a_statement_is_no_doubt(
    how: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    calls, slow = 0, "SELECT pg_sleep(3600)"

    @step(transactional=True, unknown_retry_policy=TWICE)
    async def books(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        await ctx.connection.execute(STANDS)
        if calls == 1:
            match how:
                case "its timeout=":
                    await ctx.connection.fetchval(slow, timeout=0.1)
                case "wait_for":
                    await asyncio.wait_for(ctx.connection.execute(slow), 0.1)
                case "asyncio.timeout":
                    async with asyncio.timeout(0.1):
                        await ctx.connection.fetch(slow)
                case _:
                    await ctx.connection.fetchrow(slow)
        return Done("booked")

    limit = 3 if how == "the pool's" else None
    async with (
        asyncpg.create_pool(dsn, min_size=0, max_size=3, command_timeout=limit) as pool,
        SagaOrchestrator(pool if limit else dsn) as orchestrator,
    ):
        run = await orchestrator.register("shop", saga_of(books)).start(Order("o1"))
        assert isinstance(await run.outcome(), Completed)
    assert calls == 2
    assert await entries(rows) == ["stands"]


@pytest.mark.parametrize("how", ["its timeout=", "asyncio.timeout"])
async def test_a_time_limit_that_runs_out_before_the_statement_is_sent_is_no_doubt(
    how: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, ends = 0, "SELECT CASE WHEN true THEN 1 END"

    @step(transactional=True, unknown_retry_policy=TWICE)
    async def books(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        await ctx.connection.execute(STANDS)
        with monkeypatch.context() as patched:
            if calls == 1:
                patched.setattr("saga_fn.store._lent._NUMBER", "SELECT pg_catalog.pg_sleep(3600)::pg_catalog.text")
            if how == "its timeout=":
                await ctx.connection.fetchval(ends, timeout=0.1 if calls == 1 else None)
            else:
                async with asyncio.timeout(0.1 if calls == 1 else None):
                    await ctx.connection.execute(ends)
        return Done("booked")

    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register("shop", saga_of(books)).start(Order("o1"))
        async with asyncio.timeout(SOON):
            assert isinstance(await run.outcome(), Completed)
    assert calls == 2
    assert await entries(rows) == ["stands"]


FAILS = {
    "a time limit": "SELECT pg_sleep(3600)",
    "a conflict": "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$",
    "a deadlock": "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$",
    "a cancellation": "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '57014'; END $$",
    "a statement that was forgotten": "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '26000'; END $$",
}


@pytest.mark.parametrize("where", ["after it", "while it is handled"])
@pytest.mark.parametrize("how", FAILS)
async def test_another_system_that_does_not_answer_leaves_its_outcome_open_whatever_has_failed_before(
    how: str, where: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    asked = 0

    async def ask_another_system() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        raise TimeoutError("the other system does not answer")

    @step(transactional=True, unknown_retry_policy=TWICE)
    async def calls(inp: Order, ctx: TransactionalContext) -> Done:
        await ctx.connection.execute("SAVEPOINT here")
        try:
            await ctx.connection.execute(FAILS[how], timeout=0.1 if how == "a time limit" else None)
        except (TimeoutError, asyncpg.PostgresError):
            await ctx.connection.execute("ROLLBACK TO SAVEPOINT here")
            if where == "while it is handled":
                await ask_another_system()
        await ask_another_system()
        return Done("called")

    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register("shop", saga_of(calls)).start(Order("o1"))
        await suspended(run)
        assert (await run.snapshot()).parked == "outcome_unknown"
    assert asked == 1


@pytest.mark.parametrize("how", ["gather", *([] if wait_for_waits_itself else ["wait_for"])])
async def test_a_time_limit_of_a_task_beside_the_steps_own_leaves_its_outcome_open(
    how: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    calls, slow = 0, "SELECT pg_sleep(3600)"

    @step(transactional=True, unknown_retry_policy=TWICE)
    async def both(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        if how == "gather":
            async with asyncio.timeout(0.1):
                await asyncio.gather(ctx.connection.fetch(slow), asyncio.Event().wait())
        await asyncio.wait_for(ctx.connection.fetch(slow), 0.1)
        return Done("both")

    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register("shop", saga_of(both)).start(Order("o1"))
        await suspended(run)
        assert (await run.snapshot()).parked == "outcome_unknown"
    assert calls == 1


@pytest.mark.parametrize("how", ["a conflict", "a deadlock", "a statement that was forgotten"])
async def test_an_exception_of_the_steps_own_counts_as_the_one_that_it_was_raised_from(
    how: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    calls = 0

    @step(transactional=True, retry_policy=FixedRetry(max_attempts=1))
    async def books(inp: Order, ctx: TransactionalContext) -> Done:
        nonlocal calls
        calls += 1
        await ctx.connection.execute(STANDS)
        if calls == 1:
            try:
                await ctx.connection.execute(FAILS[how])
            except asyncpg.PostgresError as error:
                raise KeyError(inp.order_id) from error
        return Done("booked")

    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register("shop", saga_of(books)).start(Order("o1"))
        assert isinstance(await run.outcome(), Completed)
    assert calls == 2
    assert await entries(rows) == ["stands"]


class Array:
    """A value that cannot be compared, as an array of numpy's."""

    def __init__(self, text: str) -> None:
        self.text = text

    @override
    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]  # it cannot be compared


@pytest.mark.parametrize("value", ["{1,2}", "DEALLOCATE ALL"])
async def test_a_value_that_a_step_reads_is_its_own_affair(
    value: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    servers: list[int] = []

    async def reads_arrays(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        await connection.set_type_codec("json", schema="pg_catalog", encoder=str, decoder=Array)

    @step(transactional=True, retry_policy=FixedRetry(max_attempts=1))
    async def reads(inp: Order, ctx: TransactionalContext) -> Done:
        servers.append(ctx.connection.get_server_pid())
        assert await ctx.connection.fetchval("SELECT $1::text", value) == value
        found = await ctx.connection.fetchval("SELECT to_json($1::text)", value)
        assert isinstance(found, Array)
        return Done(found.text)

    async with (
        asyncpg.create_pool(dsn, min_size=0, max_size=3, init=reads_arrays) as pool,
        SagaOrchestrator(pool, transactional_connections=1) as orchestrator,
    ):
        run = await orchestrator.register("shop", saga_of(reads)).start(Order("o1"))
        assert isinstance(await run.outcome(), Completed)
        (server,) = servers
        assert await rows.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", server) == 1


async def test_no_operator_of_the_services_own_decides_whether_a_step_has_committed(
    rows: asyncpg.Connection[asyncpg.Record],
) -> None:
    async with rows.transaction():
        number = await rows.fetchval("SELECT pg_current_xact_id()::text")
    await rows.execute(
        """
        CREATE FUNCTION shop.never(xid8, xid8) RETURNS boolean LANGUAGE sql AS 'SELECT false';
        CREATE OPERATOR shop.< (FUNCTION = shop.never, LEFTARG = xid8, RIGHTARG = xid8);
        SET search_path = shop, pg_catalog
        """
    )
    assert await rows.fetchval(_CAME_TO, number) == "committed"


@pytest.mark.parametrize(
    "borrowed, forget",
    [
        (False, "DEALLOCATE ALL"),
        (False, "DEALLOCATE ALL; SELECT 1"),
        (False, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"),
        (True, "DEALLOCATE ALL"),
    ],
)
async def test_a_server_that_has_forgotten_what_was_prepared_fails_no_step(
    borrowed: bool, forget: str, dsn: str, rows: asyncpg.Connection[asyncpg.Record]
) -> None:
    @step(transactional=True, retry_policy=FixedRetry(max_attempts=1))
    async def books(inp: Order, ctx: TransactionalContext) -> Done:
        await ctx.connection.execute("INSERT INTO shop.entry VALUES ($1)", ctx.step_id)
        if ctx.step_id == "s2":
            await ctx.connection.execute(forget)
        return Done("booked")

    builder = SagaBuilder(Order)
    for number in range(5):
        builder.add_step(books, input_map=lambda ctx: ctx.initial_data, step_id=f"s{number}")
    async with asyncpg.create_pool(dsn, min_size=0, max_size=3) as pool:
        source: Any = pool if borrowed else dsn
        async with SagaOrchestrator(source, transactional_connections=1) as orchestrator:
            run = await orchestrator.register("shop", builder.build()).start(Order("o1"))
            assert isinstance(await run.outcome(), Completed)
    assert await entries(rows) == ["s0", "s1", "s2", "s3", "s4"]
