"""Events without a name: kept for the next step, whatever the saga does, and whichever process dies."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_fn import Compensated, FixedRetry, InputContext, SagaAdmin, SagaBuilder, SagaDefinition, SagaStatus, step
from tests.support.approval import tell
from tests.support.crash import born, dies
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

HOUR = timedelta(hours=1)


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


@pytest.mark.predecessor(12)
async def test_an_event_that_comes_while_a_step_runs_is_kept_for_the_next(make: Make) -> None:
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


@pytest.mark.predecessor(12)
async def test_an_event_that_comes_during_an_attempt_that_fails_is_seen_by_another_at_once(
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


@pytest.mark.predecessor(14)
async def test_an_event_stays_until_the_step_that_wanted_it_has_succeeded(make: Make) -> None:
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


@pytest.mark.predecessor(15)
async def test_an_event_that_is_told_to_a_dead_owner_is_read_by_the_next(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition, seen = waiting(shop)
    first = await born(make())
    run = await first.register("waiting", definition).start(Order("1"))
    await until(lambda: len(shop.keys) == 1)
    await dies(first, leases_are_over=False)  # who takes it over gives it another token
    async with make() as second:
        again = second.register("waiting", definition).attach(run.id)
        assert await tell(second, again, {"by": "ann"})
        assert shop.hold is not None
        shop.hold.set()
        assert await again.result(SOON) == Done("ship")
        assert seen[-1].events == ({"by": "ann"},)


@pytest.mark.predecessor(30)
async def test_an_event_does_not_disturb_a_rollback_that_waits(make: Make) -> None:
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
