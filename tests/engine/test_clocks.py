"""A process's clock, and a caller's old transaction, decide nothing about time: the database's clock does."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta

import asyncpg
import pytest

from saga_fn import FixedRetry, SagaAdmin, SagaOrchestrator
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON, until


@pytest.mark.fault(35)
@pytest.mark.predecessor(32)
@pytest.mark.parametrize("hours", [1, -1])
async def test_a_worker_whose_clock_is_an_hour_off_steals_and_delays_nothing(
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


@pytest.mark.predecessor(32)
async def test_a_clock_that_is_off_does_not_hurt_who_only_has_a_pool(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = time.time
    monkeypatch.setattr(time, "time", lambda: wrong() + 3600)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        orchestrator = SagaOrchestrator(pool, listen=False)
        monkeypatch.undo()
        shop = Shop(fails={"reserve": 1})
        retry = FixedRetry(max_attempts=2, delay=timedelta(milliseconds=20))
        handle = orchestrator.register("shop", make_saga(shop, retry=retry))
        assert await handle.run(Order("1"), timeout=SOON) == Done("ship")


@pytest.mark.predecessor(32)
async def test_a_callers_old_transaction_does_not_turn_the_clock_back(dsn: str) -> None:
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
