"""Processes take the same sagas back, and die by SIGKILL in the middle of it: each saga goes back once, whole or not at all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_fn import FixedRetry, SagaAdmin, SagaOrchestrator, SagaRun
from tests.faults.processes import processes
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON, suspended

MANY = 6
RARELY = FixedRetry(max_attempts=9, delay=timedelta(hours=1))


async def waiting(orchestrator: SagaOrchestrator) -> tuple[Shop, list[SagaRun[Done]]]:
    """Sagas whose third step waits for its next attempt."""
    shop = Shop(fails={"ship": MANY})
    handle = orchestrator.register("shop", make_saga(shop, retry=RARELY))
    runs = list(await handle.start_many([Order(str(each)) for each in range(MANY)]))
    while await orchestrator.run_due():
        pass
    for run in runs:
        await suspended(run)
    return shop, runs


async def taken_back(orchestrator: SagaOrchestrator, runs: list[SagaRun[Done]]) -> list[int]:
    admin = SagaAdmin(orchestrator)
    kinds = [[entry.kind for entry in (await admin.get_saga(run.id)).step_history] for run in runs]
    return [each.count("rewind_requested") for each in kinds]


async def all_end_well(orchestrator: SagaOrchestrator, shop: Shop, runs: list[SagaRun[Done]]) -> None:
    while await orchestrator.run_due():
        pass
    for run in runs:
        assert await run.result(SOON) == Done("ship")
        assert await SagaAdmin(orchestrator).verify(run.id) == []
    assert len(shop.keys) == len(set(shop.keys)), "each call had a key of its own"
    assert shop.done.count("charge") == 2 * MANY


@pytest.mark.parametrize("point", ["before", "in", "after"])
async def test_killed_while_it_takes_sagas_back(dsn: str, point: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        shop, runs = await waiting(orchestrator)
        with processes("tests.faults.rewinder", dsn) as rewinders:
            await rewinders.died(rewinders.begin(point, "2"))
            done = await taken_back(orchestrator, runs)
            assert sum(done) in {"before": (2,), "in": (2, 3), "after": (3,)}[point]
            assert max(done) == 1
            await rewinders.ended(rewinders.begin())
        assert await taken_back(orchestrator, runs) == [1] * MANY
        await all_end_well(orchestrator, shop, runs)


async def test_two_processes_take_the_same_sagas_back_once(dsn: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        shop, runs = await waiting(orchestrator)
        with processes("tests.faults.rewinder", dsn) as rewinders:
            for pid in [rewinders.begin() for _ in range(2)]:
                await rewinders.ended(pid)
        assert await taken_back(orchestrator, runs) == [1] * MANY
        await all_end_well(orchestrator, shop, runs)
