"""Many starts in few statements, each judged by itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    MemoryStore,
    PayloadError,
    SagaAdmin,
    SagaBuilder,
    SagaError,
    SagaOrchestrator,
    SagaStatus,
    WaitReason,
    step,
)
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON

HOUR = timedelta(hours=1)


async def test_many_sagas_start_and_end_in_the_order_they_were_given(make: Make) -> None:
    async with make(concurrency=8) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        runs = await handle.start_many(Order(str(number)) for number in range(100))
        assert [await run.result(SOON) for run in runs] == [Done("ship")] * 100
        assert len({run.id for run in runs}) == 100
        assert all(run.created for run in runs)
        journals = [await orchestrator.get_snapshot(run.id) for run in runs]
        assert [snapshot.id for snapshot in journals] == [run.id for run in runs]


async def test_many_starts_are_repeated_under_their_keys(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        orders = [Order(str(number)) for number in range(10)]
        first = await handle.start_many(orders[:6], idempotency_key=lambda order: order.order_id)
        again = await handle.start_many(orders, idempotency_key=lambda order: order.order_id)
        assert [run.id for run in again[:6]] == [run.id for run in first]
        assert [run.created for run in again] == [False] * 6 + [True] * 4


async def test_one_key_twice_among_many_is_one_saga(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        one, other = await handle.start_many([Order("1"), Order("1")], idempotency_key=lambda order: order.order_id)
        assert one.id == other.id
        assert [one.created, other.created] == [True, False]


async def test_what_cannot_start_costs_the_others_nothing(make: Make) -> None:
    hold = asyncio.Event()
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop(hold=hold)))
        orders = [Order(str(number % 9)) for number in range(10)]  # the first and the last want one business key
        with pytest.raises(ActiveSagaAlreadyExistsError, match="'0'"):
            await handle.start_many(orders, aggregation_id=lambda order: order.order_id)
        for order in orders[:9]:
            with pytest.raises(ActiveSagaAlreadyExistsError):
                await handle.start(order, aggregation_id=order.order_id)
        hold.set()


async def test_what_cannot_be_stored_is_refused_before_anything_starts(make: Make) -> None:
    async def work(inp: dict[str, float]) -> None:
        del inp

    builder = SagaBuilder(dict[str, float])
    builder.add_step(step(work), depends_on=builder.initial)
    async with make(concurrency=0) as orchestrator:
        handle = orchestrator.register("numbers", builder.build())
        with pytest.raises(PayloadError):
            await handle.start_many([{"x": 1.0}, {"x": float("nan")}], idempotency_key=str)
        run = await handle.start({"x": 1.0}, idempotency_key="{'x': 1.0}")
        assert run.created


@pytest.mark.parametrize("data", ["text", b"bytes", bytearray(b"bytes")])
async def test_a_text_is_no_list_of_data(
    make: Make, data: Any
) -> None:  # Any: a text has parts that fit, for the checkers too
    async def work(inp: str) -> None:
        del inp

    builder = SagaBuilder(str)
    builder.add_step(step(work), depends_on=builder.initial)
    async with make(concurrency=0) as orchestrator:
        handle = orchestrator.register("texts", builder.build())
        for start in (handle.start_many(data), orchestrator.start_many(saga_name="texts", initial_data=data)):
            with pytest.raises(SagaError, match="each of its parts would start one"):
                await start
        assert (await SagaAdmin(orchestrator).count()).sagas == 0


async def test_by_name_many_starts_give_their_ids_in_order(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register("shop", make_saga(Shop()))
        ids = await orchestrator.start_many(saga_name="shop", initial_data=[{"order_id": "1"}, {"order_id": "2"}])
        await orchestrator.run_until_idle()
        orders = [(await orchestrator.get_snapshot(saga_id)).status for saga_id in ids]
        assert orders == ["COMPLETED", "COMPLETED"]


async def test_many_begin_when_their_delay_is_over(make: Make) -> None:
    delay = timedelta(milliseconds=200)
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        runs = await handle.start_many([Order(str(number)) for number in range(40)], delay=delay)
        assert [await run.result(SOON) for run in runs] == [Done("ship")] * 40
        for run in runs:
            history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
            begun = next(entry for entry in history if entry.kind == "resumed")
            assert begun.timestamp - history[0].timestamp >= delay


async def test_many_that_are_delayed_wait_for_no_slot_and_their_deadline_counts_from_when_they_begin(
    make: Make,
) -> None:
    shop = Shop()
    async with make(concurrency=2) as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop, deadline=HOUR))
        late = await handle.start_many([Order(str(number)) for number in range(20)], delay=5 * HOUR)
        assert await handle.run(Order("now"), timeout=SOON) == Done("ship")
        for run in late:
            seen = await run.snapshot()
            assert (seen.status, seen.waits) == (SagaStatus.SUSPENDED, WaitReason.TIMER)
            assert seen.begins_at is not None
            assert seen.begins_at - seen.created_at >= 4 * HOUR
            assert seen.rolls_back_at == seen.begins_at + HOUR
    assert shop.done == ["reserve", "charge", "ship"]


async def test_by_name_many_are_delayed_and_another_process_begins_them(make: Make) -> None:
    definition = make_saga(Shop())
    async with make(concurrency=0) as starter:
        starter.register("shop", definition)
        data = [{"order_id": "1"}, {"order_id": "2"}]
        delay = timedelta(milliseconds=150)
        ids = await starter.start_many(saga_name="shop", initial_data=data, delay=delay)
    async with make() as other:
        handle = other.register("shop", definition)
        assert [await handle.attach(saga_id).result(SOON) for saga_id in ids] == [Done("ship")] * 2


@pytest.mark.parametrize("delay", [timedelta(seconds=-1), timedelta(days=366), 5, "soon"])
async def test_a_delay_that_is_none_is_refused_before_anything_starts(memory: MemoryStore, delay: object) -> None:
    orchestrator = SagaOrchestrator(memory)
    handle = orchestrator.register("shop", make_saga(Shop()))
    with pytest.raises(SagaError, match="delay must be a timedelta from 0 to 365 days"):
        await handle.start_many([Order("1")], delay=delay)  # type: ignore[arg-type]
    with pytest.raises(SagaError, match="delay must be a timedelta from 0 to 365 days"):
        await orchestrator.start_many(saga_name="shop", initial_data=[Order("1")], delay=delay)  # type: ignore[arg-type]
    assert await orchestrator.run_due() == 0
