"""Leases and claims: who may run what, and until when."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest

from saga_fn import (
    Compensated,
    Completed,
    Failed,
    FixedRetry,
    InputContext,
    NoRetry,
    SagaAdmin,
    SagaBuilder,
    SagaOrchestrator,
    SagaStatus,
    WaitReason,
    step,
)
from tests.engine.conftest import Make
from tests.engine.shop import Done, Order, Shop, make_saga
from tests.weaknesses.stage import SOON, Counted, born, dies, one_step, until

LEASE = timedelta(seconds=1)
HOUR = timedelta(hours=1)


async def test_weakness_01_a_crash_between_two_steps_loses_nothing(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition = make_saga(shop)
    first = await born(make(lease=timedelta(milliseconds=300)))
    run = await first.register("shop", definition).start(Order("1"))
    await until(lambda: len(shop.keys) == 2)  # the success of the first step is durable, the next has no result
    await dies(first)
    async with make() as second:
        again = second.register("shop", definition).attach(run.id)
        assert (await again.snapshot()).deadline_at is not None, "no live saga is without a time to look at it"
        assert shop.hold is not None
        shop.hold.set()
        assert await again.result(SOON) == Done("ship")
        assert shop.done == ["reserve", "charge", "ship"]


async def test_weakness_02_a_saga_that_runs_cannot_be_run_beside_itself(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition = make_saga(shop)
    async with make() as one, make() as other:
        other.register("shop", definition)
        run = await one.register("shop", definition).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        assert [await one.resume(run.id), await other.resume(run.id)] == [False, False]
        assert [await one.run_due(), await other.run_due()] == [0, 0]
        assert shop.hold is not None
        shop.hold.set()
        assert await run.result(SOON) == Done("ship")
        assert len(shop.keys) == 3, "each step was begun once"


async def test_weakness_03_a_backlog_that_takes_longer_than_a_lease_runs_once(make: Make) -> None:
    counted = Counted(seconds=0.4)
    definition = one_step(counted.work)
    options = {"concurrency": 1, "lease": LEASE, "poll_interval": timedelta(milliseconds=20)}
    async with make(concurrency=0) as starter, make(**options) as one, make(**options) as other:
        handle = starter.register("slow", definition)
        runs = [await handle.start(Order(str(number))) for number in range(4)]
        one.register("slow", definition)
        other.register("slow", definition)
        await asyncio.gather(one.run_due(), other.run_due())
        for run in runs:
            assert isinstance(await run.outcome(SOON), Completed)
        assert sorted(counted.begun) == ["0", "1", "2", "3"]


async def test_weakness_04_a_timeout_as_long_as_the_lease_counts_and_nobody_steals_the_step(make: Make) -> None:
    counted = Counted(seconds=None)
    definition = one_step(counted.work, {"timeout": LEASE, "unknown_retry_policy": NoRetry()})
    async with AsyncExitStack() as stack:
        options = {"lease": LEASE, "poll_interval": timedelta(milliseconds=20)}
        pollers = [await stack.enter_async_context(make(**options)) for _ in range(4)]
        handles = [poller.register("hangs", definition) for poller in pollers]
        runs = [await handles[number % 4].start(Order(str(number))) for number in range(15)]
        ends = await asyncio.gather(*(run.outcome(SOON) for run in runs))
        assert len(counted.begun) == 15
        for run, end in zip(runs, ends, strict=True):
            assert isinstance(end, Failed)
            assert [left.kind.value for left in end.left_over] == ["may have run"]
            history = (await SagaAdmin(pollers[0]).get_saga(run.id)).step_history
            assert [(entry.attempt, entry.error) for entry in history if entry.phase == "execute"] == [
                (1, "TimeoutError: did not return within 1 s")
            ]


async def test_weakness_05_a_step_longer_than_the_lease_runs_once(make: Make) -> None:
    counted = Counted(seconds=2.2)
    definition = one_step(counted.work)
    options = {"lease": LEASE, "poll_interval": timedelta(milliseconds=20)}
    async with make(**options) as one, make(**options) as other:
        other.register("long", definition)
        run = await one.register("long", definition).start(Order("1"))
        assert await run.result(SOON) == Done("1")
        assert counted.begun == ["1"]
        kinds = [entry.kind for entry in (await SagaAdmin(one).get_saga(run.id)).step_history]
        assert kinds == ["started", "step_succeeded"], "nobody took it over"


class _Poison(BaseException):
    """Whatever a step may raise, but for what ends the program."""


async def test_weakness_07_a_poisonous_saga_costs_the_others_of_its_batch_nothing(make: Make) -> None:
    @step
    async def work(inp: Order) -> Done:
        if inp.order_id == "exits":
            raise _Poison
        return Done(inp.order_id)

    def mapping(ctx: InputContext[Order]) -> Order:
        if ctx.initial_data.order_id == "raises":
            raise RuntimeError("poison")
        return ctx.initial_data

    builder = SagaBuilder(Order)
    output = builder.add_step(work, input_map=mapping)
    async with make(concurrency=0, lease=HOUR) as orchestrator:
        handle = orchestrator.register("poisoned", builder.build(output=output))
        runs = [await handle.start(Order(name)) for name in ("raises", "a", "exits", "b", "c")]
        assert await orchestrator.run_due() == 5, "one call, and it does not raise"
        statuses = [(await run.snapshot()).status.value for run in runs]
        assert statuses == ["SUSPENDED", "COMPLETED", "SUSPENDED", "COMPLETED", "COMPLETED"]
        assert (await runs[0].snapshot()).parked == "input_failed"
        assert (await runs[2].snapshot()).waits is WaitReason.RETRY, "it may have run, and is repeated"


@pytest.mark.raw_rows
async def test_weakness_07_a_row_that_cannot_be_read_costs_the_others_nothing(dsn: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0, lease=HOUR) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        bad, *good = [await handle.start(Order(str(number))) for number in range(3)]
        connection = await asyncpg.connect(dsn)
        await connection.execute(r"UPDATE saga_fn.saga SET state = '\x00' WHERE id = $1", bad.id)
        await connection.close()
        assert await orchestrator.run_due() == 3
        assert [(await run.snapshot()).status for run in good] == [SagaStatus.COMPLETED] * 2


async def test_weakness_08_what_has_waited_longest_goes_first_whatever_its_status(make: Make) -> None:
    shop = Shop(fails={"reserve": 1})
    rolling = Shop(fails={"ship": 1, "refund charge": 1})
    soon = FixedRetry(max_attempts=2, delay=timedelta(milliseconds=1))
    async with make(concurrency=0) as orchestrator:
        retried = await orchestrator.register("retried", make_saga(shop, retry=soon)).start(Order("1"))
        undone = await orchestrator.register("undone", make_saga(rolling, undo=soon)).start(Order("1"))
        assert await orchestrator.run_due() == 2
        assert [(await run.snapshot()).status for run in (retried, undone)] == [SagaStatus.SUSPENDED] * 2
        await asyncio.sleep(0.01)  # by the store's clock both are due now, and before the crowd
        crowd = orchestrator.register("crowd", make_saga(Shop()))
        fresh = [await crowd.start(Order(str(number))) for number in range(10)]
        assert await orchestrator.run_due(limit=2) == 2
        assert isinstance(await retried.outcome(SOON), Completed)
        assert isinstance(await undone.outcome(SOON), Compensated)
        assert {(await run.snapshot()).status for run in fresh} == {SagaStatus.RUNNING}, "none of the crowd was taken"


@pytest.mark.parametrize("hours", [1, -1])
async def test_weakness_32_a_worker_whose_clock_is_an_hour_off_steals_and_delays_nothing(
    dsn: str, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    wrong = time.time
    monkeypatch.setattr(time, "time", lambda: wrong() + hours * 3600)
    shop = Shop(fails={"charge": 1}, hold=asyncio.Event())
    definition = make_saga(shop, retry=FixedRetry(max_attempts=2, delay=timedelta(milliseconds=50)))
    async with SagaOrchestrator(dsn, poll_interval=timedelta(milliseconds=20)) as off:
        monkeypatch.undo()
        async with SagaOrchestrator(dsn, poll_interval=timedelta(milliseconds=20)) as right:
            # Its first word to the database is this start.
            run = await off.register("shop", definition).start(Order("1"))
            other = await right.register("shop", definition).start(Order("2"))
            await until(lambda: len(shop.keys) == 5)  # both are in `charge`, one of them in its second attempt
            assert [await off.run_due(), await right.run_due()] == [0, 0], "neither sees the other's lease as over"
            assert shop.hold is not None
            shop.hold.set()
            assert await run.result(SOON) == Done("ship")
            assert await other.result(SOON) == Done("ship")
            assert Counter(key.partition(":")[0] for key in shop.keys).total() == 7
            for saga_id in (run.id, other.id):
                history = (await SagaAdmin(off).get_saga(saga_id)).step_history
                created = (await off.get_snapshot(saga_id)).created_at
                assert all(abs(entry.timestamp - created) < timedelta(minutes=30) for entry in history)


async def test_weakness_32_a_clock_that_is_off_does_not_hurt_who_only_has_a_pool(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = time.time
    monkeypatch.setattr(time, "time", lambda: wrong() + 3600)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        orchestrator = SagaOrchestrator(pool, listen=False)
        monkeypatch.undo()
        shop = Shop(fails={"reserve": 1})
        retry = FixedRetry(max_attempts=2, delay=timedelta(milliseconds=20))
        handle = orchestrator.register("shop", make_saga(shop, retry=retry))
        assert await handle.run(Order("1"), timeout=SOON) == Done("ship")


async def test_weakness_32_a_callers_old_transaction_does_not_turn_the_clock_back(dsn: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        connection = await asyncpg.connect(dsn)
        async with connection.transaction():
            await connection.execute("SELECT now()")  # from here on this transaction's time stands still
            await handle.start(Order("1"))
            before = orchestrator.engine.store.now()
            await handle.start(Order("2"), connection=connection)
            assert orchestrator.engine.store.now() >= before
        await connection.close()
