"""Callers: one saga for one key, and no caller waits for the steps that follow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    FixedRetry,
    SagaAdmin,
    SagaBuilder,
    SagaOrchestrator,
    SagaRun,
    SagaStatus,
    step,
)
from tests.support.approval import tell
from tests.support.shop import Done, Order, Shop, make_saga, one_step
from tests.support.stores import Make
from tests.support.until import SOON, suspended

HOUR = timedelta(hours=1)
BRIEFLY = timedelta(milliseconds=50)


@pytest.mark.predecessor(11)
async def test_concurrent_starts_of_one_business_key_make_one_saga(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make(concurrency=0) as one, make() as other:
        handles = [orchestrator.register("shop", make_saga(shop)) for orchestrator in (one, other)]
        answers = await asyncio.gather(
            *(handles[number % 2].start(Order("1"), aggregation_id="order-1") for number in range(20)),
            return_exceptions=True,
        )
        runs = [answer for answer in answers if isinstance(answer, SagaRun)]
        refusals = [answer for answer in answers if isinstance(answer, ActiveSagaAlreadyExistsError)]
        assert (len(runs), len(refusals)) == (1, 19)
        with pytest.raises(ActiveSagaAlreadyExistsError) as refusal:
            await handles[0].start(Order("1"), aggregation_id="order-1")
        assert {error.saga_id for error in (*refusals, refusal.value)} == {runs[0].id}
        assert shop.hold is not None
        shop.hold.set()
        await runs[0].result(SOON)
        assert (await handles[0].start(Order("1"), aggregation_id="order-1")).created


@pytest.mark.predecessor(25)
async def test_a_start_returns_before_its_steps_do(make: Make) -> None:
    begun, hold = asyncio.Event(), asyncio.Event()

    async def slow(inp: Order) -> Done:
        begun.set()
        await hold.wait()
        return Done(inp.order_id)

    async with make() as orchestrator:
        run = await orchestrator.register("slow", one_step(slow)).start(Order("1"))
        await begun.wait()
        assert (await run.snapshot()).status is SagaStatus.RUNNING
        hold.set()
        assert await run.result(SOON) == Done("1")


Verb = Callable[[SagaOrchestrator, SagaRun[Done]], Awaitable[object]]


async def _notify(orchestrator: SagaOrchestrator, run: SagaRun[Done]) -> None:
    assert await tell(orchestrator, run, {"by": "ann"})


VERBS: dict[str, Verb] = {
    "notify": _notify,
    "retry_step": lambda orchestrator, run: SagaAdmin(orchestrator).retry_step(run.id, "ship"),
    "skip_step": lambda orchestrator, run: SagaAdmin(orchestrator).skip_step(run.id, "ship", {"what": "by hand"}),
    "compensate_step": lambda orchestrator, run: SagaAdmin(orchestrator).compensate_step(run.id),
}


@pytest.mark.predecessor(25)
@pytest.mark.parametrize("verb", VERBS)
async def test_no_caller_waits_for_the_steps_that_follow(make: Make, verb: str) -> None:
    hanging = asyncio.Event()

    async def hang(inp: Order, *_: object) -> Done:
        hanging.set()
        await asyncio.Event().wait()
        return Done("never")

    async def undo(inp: Order, out: Done) -> None:
        await hang(inp)

    shop = Shop(fails={"ship": 1})
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=undo), depends_on=builder.initial)
    retry = FixedRetry(max_attempts=9, delay=HOUR)
    builder.add_step(step(shop.ship), depends_on=builder.initial, retry_policy=retry)
    output = builder.add_step(step(hang), depends_on=builder.initial)
    async with make(stop_timeout=BRIEFLY) as orchestrator, asyncio.timeout(SOON):
        run = await orchestrator.register("hangs", builder.build(output=output)).start(Order("1"))
        await suspended(run)
        await VERBS[verb](orchestrator, run)
        await hanging.wait()
        assert (await run.snapshot()).ended_at is None
