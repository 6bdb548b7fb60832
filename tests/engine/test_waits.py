"""Waiting for the outside world: what comes early, twice, late or never, and what is left of it when a process dies."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    Compensated,
    Completed,
    Delivery,
    Event,
    FixedRetry,
    MemoryStore,
    SagaAdmin,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    SagaStatus,
    step,
)
from saga_fn.engine.requests.outside_event import OutsideEvent, id_of
from tests.support.crash import born, dies
from tests.support.shop import Done, Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

BRIEFLY = timedelta(milliseconds=200)
reply = Event("reply", Done)


def asking(
    shop: Shop, *, timeout: timedelta | None = None, retry: FixedRetry | None = None
) -> SagaDefinition[Order, Done]:
    """Charge (which may be held up), wait for the reply, ship what it says."""
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.charge, compensate=shop.refund), depends_on=builder.initial)
    answer = builder.add_event(reply, timeout=timeout)
    policy = FixedRetry(max_attempts=1) if retry is None else retry
    builder.add_step(step(shop.ship), depends_on=answer, input_map=lambda done: Order(done.what), retry_policy=policy)
    return builder.build(output=answer)


@pytest.mark.predecessor(13)
async def test_a_reply_that_comes_before_the_saga_waits_is_kept_for_it(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        run = await orchestrator.register("asking", asking(shop)).start(Order("1"))
        to = orchestrator.to(run.id, reply)
        assert await to.send(Done("early"), event_id="m1") is Delivery.BUFFERED
        assert await to.send(Done("early"), event_id="m1") is Delivery.DUPLICATE, "and it is not void for that"
        assert shop.hold is not None
        shop.hold.set()
        assert await run.result(SOON) == Done("early")


@pytest.mark.predecessor(14)
async def test_a_step_that_is_retried_still_has_the_event_it_was_given(make: Make) -> None:
    shop = Shop(fails={"ship": 3})
    async with make() as orchestrator:
        definition = asking(shop, retry=FixedRetry(max_attempts=5, delay=timedelta(milliseconds=20)))
        run = await orchestrator.register("asking", definition).start(Order("1"))
        await suspended(run)
        assert await orchestrator.to(run.id, reply).send(Done("yes")) is Delivery.ACCEPTED
        assert await run.result(SOON) == Done("yes")
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    assert [entry.kind for entry in history].count("event_received") == 1
    assert shop.done == ["charge", "ship"]


@pytest.mark.predecessor(15)
async def test_an_event_whose_reader_dies_is_read_by_the_next(make: Make) -> None:
    """It lies in the inbox until the commit that folds it: there is no state in which no process looks for it."""
    shop = Shop(hold=asyncio.Event())
    first = await born(make())
    run = await first.register("asking", asking(shop)).start(Order("1"))
    await until(lambda: bool(shop.keys))  # its owner is in the first step
    message = OutsideEvent(id_of("reply", "m1"), "reply", b'{"what":"yes"}').message()
    await first.engine.store.send(run.id, message)
    await dies(first)
    shop.hold = None
    async with make() as second:
        again = second.register("asking", asking(shop)).attach(run.id)
        assert await again.result(SOON) == Done("yes")
        assert await second.to(run.id, reply).send(Done("yes"), event_id="m1") is Delivery.DUPLICATE


@pytest.mark.predecessor(17)
async def test_an_event_that_nobody_can_read_is_answered_and_noted_not_tried_for_ever(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        run = await orchestrator.register("asking", asking(shop)).start(Order("1"))
        await suspended(run)
        store = orchestrator.engine.store
        for number, payload in enumerate((b'{"who":"wrong"}', b'{"what":"first"}', b'{"what":"second"}')):
            await store.send(run.id, OutsideEvent(id_of("reply", f"m{number}"), "reply", payload).message())
        assert await run.result(SOON) == Done("first"), "in the order they came"
        notes = (await SagaAdmin(orchestrator).get_saga(run.id)).rejections
    assert [note.partition(":")[0] for note in notes] == ["unreadable"]


@pytest.mark.predecessor(18)
async def test_a_wait_that_times_out_rolls_back_and_comes_to_an_end(make: Make) -> None:
    hold = asyncio.Event()
    shop = Shop(hold=hold)
    async with make() as orchestrator:
        sagas = orchestrator.register("asking", asking(shop, timeout=BRIEFLY))
        run = await sagas.start(Order("1"), aggregation_id="order-1")
        with pytest.raises(ActiveSagaAlreadyExistsError):
            await sagas.start(Order("2"), aggregation_id="order-1")
        hold.set()
        ended = await run.outcome(SOON)
        assert isinstance(ended, Compensated)
        assert ended.failure is not None
        assert (ended.failure.step_id, ended.failure.type) == ("reply", "WaitTimeoutError")
        assert (await sagas.start(Order("2"), aggregation_id="order-1")).created, "and its key is free"
    assert shop.done[:2] == ["charge", "refund charge"]


@pytest.mark.predecessor(19)
async def test_a_wait_ends_at_its_time_and_an_event_counts_until_then(memory: MemoryStore) -> None:
    shop = Shop()
    hour = timedelta(hours=1)
    orchestrator = SagaOrchestrator(memory)
    sagas = orchestrator.register("asking", asking(shop, timeout=hour))
    in_time, late = await sagas.start(Order("1")), await sagas.start(Order("2"))
    await orchestrator.run_due()
    (wait,) = (await late.snapshot()).waiting_for
    assert wait.until is not None
    assert (await late.snapshot()).deadline_at == wait.until, "a scan will find it"
    assert await orchestrator.to(in_time.id, reply).send(Done("yes")) is Delivery.ACCEPTED
    await orchestrator.run_until_idle(past_waits=True)
    assert isinstance(await in_time.outcome(SOON), Completed)
    assert isinstance(await late.outcome(SOON), Compensated)
    assert await orchestrator.to(late.id, reply).send(Done("no")) is Delivery.ENDED


@pytest.mark.predecessor(30)
async def test_an_event_for_a_saga_that_rolls_back_neither_disturbs_it_nor_is_lost(make: Make) -> None:
    shop = Shop(fails={"refund charge": 1, "ship": 1})
    builder = SagaBuilder(Order)
    again = FixedRetry(max_attempts=3, delay=timedelta(hours=1))
    builder.add_step(
        step(shop.charge, compensate=shop.refund, compensation_retry_policy=again), depends_on=builder.initial
    )
    builder.add_step(step(shop.ship), depends_on=builder.initial)
    builder.add_event(reply)
    async with make() as orchestrator:
        run = await orchestrator.register("rolls back", builder.build()).start(Order("1"))
        await suspended(run)
        before = await run.snapshot()
        assert await orchestrator.to(run.id, reply).send(Done("late")) is Delivery.BUFFERED
        seen = await run.snapshot()
        assert (seen.status, seen.current_step_id) == (SagaStatus.SUSPENDED, "charge")
        assert seen.deadline_at == before.deadline_at, "its delay was kept"
        await SagaAdmin(orchestrator).retry_step(run.id, "charge")
        assert isinstance(await run.outcome(SOON), Compensated)
        history = (await SagaAdmin(orchestrator).get_saga(run.id)).step_history
    assert "event_received" in [entry.kind for entry in history]
