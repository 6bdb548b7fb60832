"""A saga with a point of no return: undone before it, only forward after it. On all stores."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_fn import (
    Compensated,
    Failed,
    NoRetry,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaParkedError,
    SagaStateError,
    step,
)
from tests.support.shop import Done, Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until


def pivoted(shop: Shop, *, timeout: timedelta | None = None) -> SagaDefinition[Order, Done]:
    """Reserve, which can be undone; charge, the pivot; ship."""
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    never = NoRetry()
    builder.add_step(
        step(shop.charge), depends_on=builder.initial, pivot=True, timeout=timeout, unknown_retry_policy=never
    )
    shipped = builder.add_step(step(shop.ship), depends_on=builder.initial)
    return builder.build(output=shipped)


async def test_before_the_pivot_a_failure_is_undone(make: Make) -> None:
    shop = Shop(fails={"charge": 1})
    async with make() as orchestrator:
        run = await orchestrator.register("pivoted", pivoted(shop)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "release reserve"]


async def test_after_the_pivot_a_failure_waits_for_a_person_and_nothing_is_undone(make: Make) -> None:
    shop = Shop(fails={"ship": 2})
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("pivoted", pivoted(shop)).start(Order("1"))
        await suspended(run)
        seen = await admin.get_saga(run.id)
        assert (seen.parked, seen.current_step_id, seen.last_error) == ("past_pivot", "ship", "ShopError")
        with pytest.raises(SagaStateError, match="past its pivot") as refused:
            await admin.compensate_step(run.id)
        assert "retry_step or skip_step" in str(refused.value)
        with pytest.raises(SagaParkedError, match="cancel is refused, abort ends it"):
            await run.result(SOON, wait_parked=False)
        await admin.retry_step(run.id, "ship")
        await until(lambda: not shop.fails["ship"])
        await suspended(run)
        await admin.retry_step(run.id, "ship")
        assert await run.result(SOON) == Done("ship")
        assert shop.done == ["reserve", "charge", "ship"]
        assert await admin.verify(run.id) == []


async def test_a_saga_aborted_after_its_pivot_says_what_stands_and_is_not_undone(make: Make) -> None:
    shop = Shop(fails={"ship": 1})
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("pivoted", pivoted(shop)).start(Order("1"))
        await suspended(run)
        await admin.abort(run.id)
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [left.step_id for left in ended.left_over] == ["reserve"]
        with pytest.raises(SagaStateError, match=r"past its pivot\n.*retry_step or rewind takes it up again"):
            await admin.compensate_step(run.id)
        explained = await admin.explain(run.id)
        await admin.settle_undone(run.id, "reserve")
        with pytest.raises(
            SagaStateError, match=r"past its pivot\n.*once something of it is undone, settle_undone or acknowledge"
        ):
            await admin.cancel(run.id)
        refused_now = {told.verb for told in (await admin.explain(run.id)).verbs if not told.is_legal}
        assert {"retry_step", "rewind", "cancel"} <= refused_now, "as the hint says"
        for verb in (admin.abort(run.id), admin.skip_step(run.id, "ship", Done("ship")), admin.start_now(run.id)):
            with pytest.raises(SagaStateError, match="has ended FAILED, where") as refused:
                await verb
            assert refused.value.refusal == "finished"
        told = explained.of("abort")
        assert told is not None
        assert "has ended FAILED" in (told.why_not or "")


async def test_a_pivot_that_timed_out_is_not_undone_behind_its_back(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        saga = pivoted(shop, timeout=timedelta(milliseconds=50))
        run = await orchestrator.register("pivoted", saga).start(Order("1"))
        await suspended(run)
        assert (await run.snapshot()).parked == "outcome_unknown"
        assert shop.done == ["reserve"]
        await admin.skip_step(run.id, "charge", {"what": "found charged by hand"})
        assert await run.result(SOON) == Done("ship")


async def test_a_pivot_that_succeeds_while_a_person_wants_to_turn_back_goes_on(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        admin = SagaAdmin(orchestrator)
        run = await orchestrator.register("pivoted", pivoted(shop)).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        await admin.compensate_step(run.id)
        assert shop.hold is not None
        shop.hold.set()
        assert await run.result(SOON) == Done("ship")
        assert shop.done == ["reserve", "charge", "ship"]
