"""Rolling back: what is undone, by which policy, and what is passed over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from typing_extensions import override

from saga_fn import (
    BaseStep,
    Compensated,
    Failed,
    FixedRetry,
    HistoryStatus,
    NoRetry,
    SagaAdmin,
    SagaBuilder,
    SagaOrchestrator,
    SagaStatus,
    step,
)
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended

HOUR = timedelta(hours=1)
BRIEFLY = timedelta(milliseconds=50)


@pytest.mark.predecessor(9)
async def test_a_rollback_passes_over_a_step_without_compensation(make: Make) -> None:
    class Announce(BaseStep[Done, Done]):
        @override
        async def execute(self, inp: Done, /) -> Done:
            return inp

    shop = Shop(fails={"ship": 1})
    builder = SagaBuilder(Order)
    reserved = builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_step(Announce(), depends_on=reserved)
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("announced", builder.build()).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "release reserve"]


@pytest.mark.predecessor(10)
async def test_a_skipped_step_does_not_break_the_rollback_and_is_not_undone(make: Make) -> None:
    shop = Shop(fails={"charge": 1, "ship": 1})
    retry = FixedRetry(max_attempts=2, delay=HOUR)
    builder = SagaBuilder(Order)  # whose inputs have a required field, which a skip does not give
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_step(step(shop.charge, compensate=shop.refund), depends_on=builder.initial, retry_policy=retry)
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("shop", builder.build()).start(Order("1"))
        await suspended(run)
        await SagaAdmin(orchestrator).skip_step(run.id, "charge", {"what": "by hand"})
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "release reserve"], "what never ran is never undone"


@pytest.mark.predecessor(28)
async def test_a_compensation_has_a_timeout_and_a_policy_of_its_own(make: Make) -> None:
    undone: list[str] = []

    async def undo(inp: Order, out: Done) -> None:
        undone.append(out.what)
        if len(undone) == 1:
            await asyncio.Event().wait()

    shop = Shop(fails={"ship": 1})
    builder = SagaBuilder(Order)
    builder.add_step(
        step(
            shop.reserve,
            compensate=undo,
            retry_policy=NoRetry(),
            compensation_retry_policy=FixedRetry(max_attempts=2),
            compensation_timeout=BRIEFLY,
        ),
        depends_on=builder.initial,
    )
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("shop", builder.build()).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert undone == ["reserve", "reserve"]
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
        assert [entry.error for entry in history if entry.phase == "compensate"] == [
            "TimeoutError: did not return within 0.05 s",
            None,
        ]


@pytest.mark.predecessor(28)
async def test_the_policy_of_the_step_does_not_retry_its_compensation(make: Make) -> None:
    shop = Shop(fails={"ship": 1, "release reserve": 9})
    builder = SagaBuilder(Order)
    builder.add_step(
        step(
            shop.reserve,
            compensate=shop.release,
            retry_policy=FixedRetry(max_attempts=5),
            compensation_retry_policy=NoRetry(),
        ),
        depends_on=builder.initial,
    )
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("shop", builder.build()).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("reserve", "undo failed")]
        assert shop.begun == ["reserve", "ship", "reserve"]


async def test_an_undo_that_has_failed_as_often_as_its_policy_says_is_left_to_a_person_who_tries_again(
    make: Make,
) -> None:
    shop = Shop(fails={"ship": 1, "refund charge": 2})
    builder = SagaBuilder(Order)
    twice = FixedRetry(max_attempts=2)
    for work, undo in ((shop.reserve, shop.release), (shop.charge, shop.refund)):
        bound = step(work, compensate=undo, compensation_retry_policy=twice, on_undo_failed="park")
        builder.add_step(bound, depends_on=builder.initial)
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    async with make() as orchestrator, asyncio.timeout(SOON):
        run = await orchestrator.register("shop", builder.build()).start(Order("1"))
        admin = SagaAdmin(orchestrator)
        while (await admin.get_saga(run.id)).parked != "undo_failed":
            await asyncio.sleep(0.005)
        await admin.retry_step(run.id, "charge", reason="the bank is back")
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "charge", "refund charge", "release reserve"]


@pytest.mark.predecessor(29)
@pytest.mark.parametrize("asked", [False, True])
async def test_a_rollback_with_nothing_to_undo_is_over_at_once(make: Make, asked: bool) -> None:
    shop = Shop(fails={"reserve": 9})
    retry = FixedRetry(max_attempts=2, delay=HOUR) if asked else NoRetry()
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=retry)).start(Order("1"))
        if asked:
            await suspended(run)
            await SagaAdmin(orchestrator).compensate_step(run.id)
        assert isinstance(await run.outcome(SOON), Compensated)
        snapshot = await run.snapshot()
        assert (snapshot.status, snapshot.deadline_at) == (SagaStatus.COMPENSATED, None)
        assert await orchestrator.run_due() == 0


@pytest.mark.predecessor(36)
async def test_a_history_has_the_phases_and_statuses_it_says(dsn: str) -> None:
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        shop = Shop(fails={"ship": 1, "refund charge": 1})
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await orchestrator.run_due()
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
        assert {entry.phase for entry in history} == {"execute", "compensate", "saga"}
        assert {entry.status for entry in history} == set(HistoryStatus) == {"SUCCESS", "ERROR", "INFO"}
