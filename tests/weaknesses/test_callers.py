"""Callers, operators and whoever looks on: starts, events, verbs, snapshots, logs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import attrs
import pytest

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    Compensated,
    Completed,
    FixedRetry,
    InputContext,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaRun,
    SagaStateError,
    SagaStatus,
    step,
)
from tests.engine.conftest import Make
from tests.engine.shop import Done, Order, Shop, make_saga
from tests.weaknesses.stage import SOON, born, dies, one_step, suspended, until

HOUR = timedelta(hours=1)
BRIEFLY = timedelta(milliseconds=50)


# Starts.


async def test_weakness_11_concurrent_starts_of_one_business_key_make_one_saga(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make(concurrency=0) as one, make() as other:
        handles = [orchestrator.register("shop", make_saga(shop)) for orchestrator in (one, other)]
        answers = await asyncio.gather(
            *(handles[number % 2].start(Order("1"), aggregation_id="order-1") for number in range(20)),
            return_exceptions=True,
        )
        runs = [answer for answer in answers if isinstance(answer, SagaRun)]
        refusals = [answer for answer in answers if isinstance(answer, ActiveSagaAlreadyExistsError)]
        assert (len(runs), len(refusals)) == (1, 19)
        with pytest.raises(ActiveSagaAlreadyExistsError) as refusal:
            await handles[0].start(Order("1"), aggregation_id="order-1")
        assert {error.saga_id for error in (*refusals, refusal.value)} == {runs[0].id}
        assert shop.hold is not None
        shop.hold.set()
        await runs[0].result(SOON)
        assert (await handles[0].start(Order("1"), aggregation_id="order-1")).created


def waiting(shop: Shop) -> tuple[SagaDefinition[Order, Done], list[InputContext[Order]]]:
    """Charge, with long delays, then ship; and what the mappings of both were shown."""
    seen: list[InputContext[Order]] = []

    def mapping(ctx: InputContext[Order]) -> Order:
        seen.append(ctx)
        return ctx.initial_data

    builder = SagaBuilder(Order)
    retry = FixedRetry(max_attempts=9, delay=HOUR)
    builder.add_step(step(shop.charge), input_map=mapping, retry_policy=retry)
    shipped = builder.add_step(step(shop.ship), input_map=mapping)
    return builder.build(output=shipped), seen


async def tell(orchestrator: SagaOrchestrator, run: SagaRun[Any], event: dict[str, str]) -> bool:  # Any: of any result
    """Notify with the token that the saga has now."""
    token = (await run.snapshot()).step_execution_token
    assert token is not None
    return await orchestrator.notify(run.id, token, event)


async def test_weakness_12_an_event_that_comes_while_a_step_runs_is_kept_for_the_next(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition, seen = waiting(shop)
    async with make() as orchestrator:
        run = await orchestrator.register("waiting", definition).start(Order("1"))
        await until(lambda: len(shop.keys) == 1)
        assert await tell(orchestrator, run, {"by": "ann"})
        assert shop.hold is not None
        shop.hold.set()
        assert await run.result(SOON) == Done("ship")
        assert seen[-1].events == ({"by": "ann"},)


async def test_weakness_12_an_event_that_comes_during_an_attempt_that_fails_is_seen_by_another_at_once(
    make: Make,
) -> None:
    begun, told = asyncio.Event(), asyncio.Event()
    events: list[object] = []

    async def wait_for_approval(inp: Order) -> Done:
        if not begun.is_set():
            begun.set()
            await told.wait()
            raise RuntimeError("not approved yet, as far as I know")
        return Done(inp.order_id)

    def mapping(ctx: InputContext[Order]) -> Order:
        events.append(ctx.latest_event)
        return ctx.initial_data

    builder = SagaBuilder(Order)
    retry = FixedRetry(max_attempts=2, delay=HOUR)
    output = builder.add_step(step(wait_for_approval), input_map=mapping, retry_policy=retry)
    async with make() as orchestrator:
        run = await orchestrator.register("approved", builder.build(output=output)).start(Order("1"))
        await begun.wait()
        assert await tell(orchestrator, run, {"by": "ann"})
        told.set()
        assert await run.result(SOON) == Done("1"), "and not in an hour"
        assert (events[0], events[-1]) == (None, {"by": "ann"})


async def test_weakness_14_an_event_stays_until_the_step_that_wanted_it_has_succeeded(make: Make) -> None:
    shop = Shop(fails={"charge": 2})
    definition, seen = waiting(shop)
    async with make() as orchestrator:
        run = await orchestrator.register("waiting", definition).start(Order("1"))
        await suspended(run)
        assert await tell(orchestrator, run, {"by": "ann"})
        await until(lambda: shop.fails["charge"] == 0)  # it failed again, with the event in hand
        await suspended(run)
        await SagaAdmin(orchestrator).retry_step(run.id, "charge")
        assert await run.result(SOON) == Done("ship")
        assert [ctx.latest_event for ctx in seen] == [None, {"by": "ann"}, {"by": "ann"}, None]


async def test_weakness_15_an_event_that_is_told_to_a_dead_owner_is_read_by_the_next(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition, seen = waiting(shop)
    first = await born(make(lease=timedelta(milliseconds=500)))
    run = await first.register("waiting", definition).start(Order("1"))
    await until(lambda: len(shop.keys) == 1)
    await dies(first)
    async with make() as second:
        again = second.register("waiting", definition).attach(run.id)
        assert await tell(second, again, {"by": "ann"})
        assert shop.hold is not None
        shop.hold.set()
        assert await again.result(SOON) == Done("ship")
        assert seen[-1].events == ({"by": "ann"},)


async def test_weakness_30_an_event_does_not_disturb_a_rollback_that_waits(make: Make) -> None:
    shop = Shop(fails={"ship": 1, "refund charge": 1})
    async with make() as orchestrator:
        undo = FixedRetry(max_attempts=2, delay=HOUR)
        run = await orchestrator.register("shop", make_saga(shop, undo=undo)).start(Order("1"))
        await suspended(run)
        before = await run.snapshot()
        assert await tell(orchestrator, run, {"by": "ann"})
        after = await run.snapshot()
        assert (after.status, after.deadline_at) == (SagaStatus.SUSPENDED, before.deadline_at)
        await SagaAdmin(orchestrator).retry_step(run.id, "charge")
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "charge", "refund charge", "release reserve"]


# What does not grow, what takes no lock, what does not wait.


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


async def test_weakness_23_a_long_history_makes_no_attempt_dearer(
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
    (SELECT count(*) FROM saga_fn.saga_inbox),
    (SELECT count(*) FROM saga_fn.saga_note)"""


async def test_weakness_23_events_that_are_refused_leave_nothing_behind(pool: asyncpg.Pool) -> None:
    orchestrator = SagaOrchestrator(pool, listen=False)
    shop = Shop(fails={"reserve": 1})
    retry = FixedRetry(max_attempts=2, delay=HOUR)
    run = await orchestrator.register("shop", make_saga(shop, retry=retry)).start(Order("1"))
    await orchestrator.run_due()
    before = await pool.fetchrow(SIZES)
    for _ in range(50):
        assert not await orchestrator.notify(run.id, uuid4(), {"by": "mallory"})
    assert await pool.fetchrow(SIZES) == before


async def test_weakness_24_looking_takes_no_lock(dsn: str, pool: asyncpg.Pool) -> None:
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


Verb = Callable[[SagaOrchestrator, SagaRun[Done]], Awaitable[object]]


async def _notify(orchestrator: SagaOrchestrator, run: SagaRun[Done]) -> None:
    assert await tell(orchestrator, run, {"by": "ann"})


VERBS: dict[str, Verb] = {
    "notify": _notify,
    "retry_step": lambda orchestrator, run: SagaAdmin(orchestrator).retry_step(run.id, "ship"),
    "skip_step": lambda orchestrator, run: SagaAdmin(orchestrator).skip_step(run.id, "ship", {"what": "by hand"}),
    "compensate_step": lambda orchestrator, run: SagaAdmin(orchestrator).compensate_step(run.id),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_weakness_25_no_caller_waits_for_the_steps_that_follow(make: Make, verb: str) -> None:
    hanging = asyncio.Event()

    async def hang(inp: Order, *_: object) -> Done:
        hanging.set()
        await asyncio.Event().wait()
        return Done("never")

    async def undo(inp: Order, out: Done) -> None:
        await hang(inp)

    shop = Shop(fails={"ship": 1})
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=undo), depends_on=builder.initial)
    retry = FixedRetry(max_attempts=9, delay=HOUR)
    builder.add_step(step(shop.ship), depends_on=builder.initial, retry_policy=retry)
    output = builder.add_step(step(hang), depends_on=builder.initial)
    async with make(stop_timeout=BRIEFLY) as orchestrator, asyncio.timeout(SOON):
        run = await orchestrator.register("hangs", builder.build(output=output)).start(Order("1"))
        await suspended(run)
        await VERBS[verb](orchestrator, run)
        await hanging.wait()
        assert (await run.snapshot()).ended_at is None


async def test_weakness_25_a_start_returns_before_its_steps_do(make: Make) -> None:
    begun, hold = asyncio.Event(), asyncio.Event()

    async def slow(inp: Order) -> Done:
        begun.set()
        await hold.wait()
        return Done(inp.order_id)

    async with make() as orchestrator:
        run = await orchestrator.register("slow", one_step(slow)).start(Order("1"))
        await begun.wait()
        assert (await run.snapshot()).status is SagaStatus.RUNNING
        hold.set()
        assert await run.result(SOON) == Done("1")


# Logs and ends.


async def test_weakness_33_every_line_about_a_saga_names_it(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(fails={"reserve": 1, "ship": 9, "release reserve": 1})
    retry = FixedRetry(max_attempts=2)
    with caplog.at_level(logging.INFO, "saga_fn"):
        async with make() as orchestrator:
            handle = orchestrator.register("shop", make_saga(shop, retry=retry))
            run = await handle.start(Order("1"), trace_id="trace-1")
            assert isinstance(await run.outcome(SOON), Compensated)
    lines = [record for record in caplog.records if record.name == "saga_fn"]
    assert [record.levelname for record in lines] == ["WARNING"] * 4 + ["INFO"], "retries, and the end"
    for record in lines:
        assert str(run.id) in record.getMessage()
        assert vars(record)["saga_id"] == str(run.id)
        assert vars(record)["trace_id"] == "trace-1"
        assert not {"%", "{"} & set(record.getMessage())


@pytest.mark.parametrize("end", [Completed, Compensated])
async def test_weakness_34_abort_leaves_an_end_as_it_is(make: Make, end: type) -> None:
    shop = Shop(fails={"ship": 1} if end is Compensated else {})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        before = await run.outcome(SOON)
        assert isinstance(before, end)
        with pytest.raises(SagaStateError, match="has ended"):
            await SagaAdmin(orchestrator).abort(run.id)
        assert (await run.outcome(SOON)).snapshot == before.snapshot
