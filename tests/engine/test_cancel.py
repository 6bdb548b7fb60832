"""A saga is cancelled wherever it stands: what was done is undone, nothing done is a clean end, and there are places of no return."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_fn import (
    Compensated,
    Failed,
    FixedRetry,
    SagaAdmin,
    SagaBuilder,
    SagaRun,
    SagaStateError,
    SagaStatus,
    step,
)
from tests.support.approval import approved
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

HOUR = timedelta(hours=1)
RARELY = FixedRetry(max_attempts=9, delay=HOUR)


async def ends_as(run: SagaRun[Done], status: SagaStatus) -> None:
    async with asyncio.timeout(SOON):
        while (await run.snapshot()).status is not status:
            await asyncio.sleep(0.01)


async def test_a_delayed_start_that_is_cancelled_never_begins_and_has_a_clean_end(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"), delay=HOUR)
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        await admin.cancel(run.id, reason="ordered by mistake")
        assert isinstance(await run.outcome(SOON), Compensated)
        entry = (await admin.get_saga(run.id)).step_history[-1]
        assert (entry.kind, entry.actor, entry.reason) == ("compensation_requested", "ann@shop", "ordered by mistake")
        with pytest.raises(SagaStateError, match="has ended"):
            await admin.cancel(run.id)
        assert not await orchestrator.resume(run.id)
        assert shop.done == []
        assert await admin.verify(run.id) == []


async def test_a_saga_that_waits_for_an_event_is_cancelled(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("approved", approved(shop)).start(Order("1"))
        await suspended(run)
        await SagaAdmin(orchestrator).cancel(run.id)
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "release reserve"]


async def test_a_saga_that_waits_for_its_next_attempt_undoes_what_was_done(make: Make) -> None:
    shop = Shop(fails={"charge": 1})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        await suspended(run)
        await SagaAdmin(orchestrator).cancel(run.id)
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "release reserve"]


async def test_a_step_that_runs_comes_to_its_end_before_it_is_undone(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        await SagaAdmin(elsewhere).cancel(run.id)
        assert shop.done == ["reserve"]
        assert shop.hold is not None
        shop.hold.set()
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "charge", "refund charge", "release reserve"]


async def test_a_saga_with_a_compensation_under_way_says_so_and_undoes_nothing_twice(make: Make) -> None:
    shop = Shop(fails={"ship": 1})
    undoing, hold = asyncio.Event(), asyncio.Event()

    async def refund(inp: Order, out: Done) -> None:
        undoing.set()
        await hold.wait()
        shop.done.append("refund")

    builder = SagaBuilder(Order)
    charged = builder.add_step(step(shop.charge, compensate=refund), depends_on=builder.initial)
    shipped = builder.add_step(step(shop.ship), depends_on=charged, input_map=lambda out: Order(out.what))
    async with make() as orchestrator:
        run = await orchestrator.register("slow", builder.build(output=shipped)).start(Order("1"))
        await undoing.wait()
        with pytest.raises(SagaStateError, match="is undoing it already"):
            await SagaAdmin(orchestrator).cancel(run.id)
        hold.set()
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["charge", "refund"]


async def test_a_compensation_that_waits_for_its_next_attempt_is_attempted_at_once(make: Make) -> None:
    shop = Shop(fails={"ship": 1, "refund charge": 1})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, undo=RARELY)).start(Order("1"))
        await suspended(run)
        await SagaAdmin(orchestrator).cancel(run.id)
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "charge", "refund charge", "release reserve"]


async def test_behind_its_pivot_a_cancellation_is_refused_with_the_verbs_that_go_on(make: Make) -> None:
    shop = Shop(fails={"ship": 1})
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_step(step(shop.charge, pivot=True), input_map=lambda ctx: ctx.initial_data)
    shipped = builder.add_step(step(shop.ship), input_map=lambda ctx: ctx.initial_data)
    async with make() as orchestrator:
        run = await orchestrator.register("pivoted", builder.build(output=shipped)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        before = (await admin.get_saga(run.id)).revision
        with pytest.raises(SagaStateError, match="is past its pivot") as refused:
            await admin.cancel(run.id)
        hint = refused.value.hint or ""
        assert all(verb in hint for verb in ("retry_step", "skip_step", "abort"))
        assert (await admin.get_saga(run.id)).revision == before
        await admin.retry_step(run.id, "ship")
        assert await run.result(SOON) == Done("ship")


@pytest.mark.parametrize("knows_no_output", [True, False])
async def test_a_step_in_doubt_is_undone_if_it_can_be_without_its_output_else_left_over(
    make: Make, *, knows_no_output: bool
) -> None:
    undone: list[object] = []

    async def charge(inp: Order) -> Done:
        raise TimeoutError

    async def perhaps(inp: Order, out: Done | None) -> None:
        undone.append(out)

    async def surely(inp: Order, out: Done) -> None:
        undone.append(out)

    builder = SagaBuilder(Order)
    options = step(charge, compensate=perhaps if knows_no_output else surely, on_unknown="park")
    charged = builder.add_step(options, depends_on=builder.initial)
    async with make() as orchestrator:
        run = await orchestrator.register("doubtful", builder.build(output=charged)).start(Order("1"))
        await suspended(run)
        assert (await run.snapshot()).parked == "outcome_unknown"
        await SagaAdmin(orchestrator).cancel(run.id)
        ended = await run.outcome(SOON)
        if knows_no_output:
            assert isinstance(ended, Compensated)
            assert undone == [None]
        else:
            assert isinstance(ended, Failed)
            assert ([left.step_id for left in ended.left_over], undone) == (["charge"], [])


async def test_a_failed_saga_that_is_cancelled_undoes_what_is_left(make: Make) -> None:
    shop = Shop(fails={"ship": 1})
    async with make() as orchestrator:
        definition = make_saga(shop, compensate_on_failure=False)
        run = await orchestrator.register("shop", definition).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Failed)
        await SagaAdmin(orchestrator).cancel(run.id)
        await ends_as(run, SagaStatus.COMPENSATED)
        assert shop.done == ["reserve", "charge", "refund charge", "release reserve"]
