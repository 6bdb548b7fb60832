"""Sagas that wait for a person, because the definition is at fault: what is shown of them, and what a person can do."""

from __future__ import annotations

from typing import cast

import pytest

from saga_fn import Compensated, Completed, FixedRetry, SagaAdmin, SagaBuilder, step
from tests.support.shop import Done, Order, Shop, one_step
from tests.support.stores import Make
from tests.support.until import SOON, suspended


@pytest.mark.predecessor(1)
@pytest.mark.parametrize(
    "verb, end, done",
    [
        ("retry", Completed, ["reserve", "ship"]),
        ("skip", Completed, ["reserve"]),
        ("compensate", Compensated, ["reserve", "release reserve"]),
    ],
)
async def test_a_saga_whose_input_map_raised_waits_for_a_person_and_obeys(
    make: Make, verb: str, end: type, done: list[str]
) -> None:
    broken = [True]
    shop = Shop()

    def mapping(out: Done) -> Order:
        if broken:
            raise KeyError(out.what)
        return Order(out.what)

    builder = SagaBuilder(Order)
    reserved = builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    shipped = builder.add_step(step(shop.ship), depends_on=reserved, input_map=mapping)
    async with make() as orchestrator:
        run = await orchestrator.register("mapped", builder.build(output=shipped)).start(Order("1"))
        await suspended(run)
        assert (await run.snapshot()).parked == "input_failed"
        assert await orchestrator.run_due() == 0
        broken.clear()
        admin = SagaAdmin(orchestrator)
        match verb:
            case "retry":
                await admin.retry_step(run.id, "ship")
            case "skip":
                await admin.skip_step(run.id, "ship", {"what": "by hand"})
            case _:
                await admin.compensate_step(run.id)
        assert isinstance(await run.outcome(SOON), end)
        assert shop.done == done


@pytest.mark.predecessor(31)
async def test_a_step_that_returns_none_is_run_once_and_waits_for_a_person(make: Make) -> None:
    calls: list[Order] = []

    async def forgets(inp: Order) -> Done:
        calls.append(inp)
        return cast("Done", None)

    async with make() as orchestrator:
        run = await orchestrator.register(
            "forgets", one_step(forgets, {"retry_policy": FixedRetry(max_attempts=3)})
        ).start(Order("1"))
        await suspended(run)
        for _ in range(3):
            assert await orchestrator.run_due() == 0
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert (seen.parked, calls) == ("output_lost", [Order("1")])
        assert any("None" in (entry.error or "") for entry in seen.step_history)
        await SagaAdmin(orchestrator).skip_step(run.id, "forgets", {"what": "by hand"})
        assert await run.result(SOON) == Done("by hand")
