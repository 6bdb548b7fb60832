"""Many starts in few statements, each judged by itself."""

from __future__ import annotations

import asyncio

import pytest

from saga_fn import ActiveSagaAlreadyExistsError, PayloadError, SagaBuilder, step
from tests.engine.conftest import Make
from tests.engine.shop import Done, Order, Shop, make_saga

SOON = 10.0


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


async def test_by_name_many_starts_give_their_ids_in_order(make: Make) -> None:
    async with make() as orchestrator:
        orchestrator.register("shop", make_saga(Shop()))
        ids = await orchestrator.start_many(saga_name="shop", initial_data=[{"order_id": "1"}, {"order_id": "2"}])
        await orchestrator.run_until_idle()
        orders = [(await orchestrator.get_snapshot(saga_id)).status for saga_id in ids]
        assert orders == ["COMPLETED", "COMPLETED"]
