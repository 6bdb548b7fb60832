"""Sagas run to their ends, and their ends tell the truth. Through the public API, on both stores."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from typing_extensions import override

from saga_fn import (
    ActiveSagaAlreadyExistsError,
    BaseStep,
    Compensated,
    Completed,
    Failed,
    FixedRetry,
    InputContext,
    PayloadError,
    PayloadTooLargeError,
    SagaAdmin,
    SagaBuilder,
    SagaCompensatedError,
    SagaFailedError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaOrchestrator,
    SagaParkedError,
    SagaResultTimeoutError,
    SagaStateError,
    SagaStatus,
    StartConflictError,
    WaitReason,
    step,
)
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, until


async def test_three_steps_run_in_order_and_give_the_last_output(make: Make) -> None:
    shop = Shop()
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        run = await handle.start(Order("1"))
        assert await run.result(SOON) == Done("ship")
        assert shop.done == ["reserve", "charge", "ship"]
        assert len(set(shop.keys)) == 3
        assert (repr(handle), repr(run)) == ("<saga shop>", f"<run {run.id}>")


async def test_a_failed_attempt_is_repeated_under_the_same_key(make: Make) -> None:
    shop = Shop(fails={"charge": 2})
    async with make() as orchestrator:
        policy = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=30))
        handle = orchestrator.register("shop", make_saga(shop, retry=policy))
        run = await handle.start(Order("1"))
        assert isinstance(await run.outcome(SOON), Completed)
        charges = [key for key in shop.keys if ":charge:" in key]
        assert len(charges) == 3
        assert len(set(charges)) == 1


async def test_max_attempts_counts_attempts(make: Make) -> None:
    shop = Shop(fails={"reserve": 99})
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop, retry=FixedRetry(max_attempts=3)))
        run = await handle.start(Order("1"))
        assert isinstance(await run.outcome(SOON), Compensated)
        assert len(shop.keys) == 3


async def test_a_failure_undoes_what_was_done_in_reverse(make: Make) -> None:
    shop = Shop(fails={"ship": 9})
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        run = await handle.start(Order("1"))
        with pytest.raises(SagaCompensatedError, match="ship failed") as caught:
            await run.result(SOON)
        assert caught.value.snapshot.status is SagaStatus.COMPENSATED
        assert shop.done == ["reserve", "charge", "refund charge", "release reserve"]


async def test_without_compensation_on_failure_what_was_done_is_listed(make: Make) -> None:
    shop = Shop(fails={"ship": 9})
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop, compensate_on_failure=False))
        run = await handle.start(Order("1"))
        with pytest.raises(SagaFailedError, match="reserve") as caught:
            await run.result(SOON)
        assert [left.step_id for left in caught.value.snapshot.left_over] == ["reserve", "charge"]


async def test_a_compensation_is_retried_and_then_left_over(make: Make) -> None:
    shop = Shop(fails={"ship": 9, "refund charge": 2})
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        run = await handle.start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind.value) for left in ended.left_over] == [
            ("reserve", "not undone"),
            ("charge", "undo failed"),
        ]
        await SagaAdmin(orchestrator).compensate_step(run.id)
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "charge", "refund charge", "release reserve"]


async def test_a_step_that_timed_out_may_have_run(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop, timeout=timedelta(milliseconds=50)))
        ended = await (await handle.start(Order("1"))).outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind.value) for left in ended.left_over] == [("charge", "may have run")]
        assert shop.done == ["reserve", "release reserve"]


async def test_an_output_that_is_not_the_declared_type_parks(make: Make) -> None:
    shop = Shop(returns=lambda what: 42 if what == "charge" else Done(what))
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        run = await handle.start(Order("1"))
        admin = SagaAdmin(orchestrator)
        await _parked(orchestrator, run.id)
        seen = await admin.get_saga(run.id)
        assert seen.parked == "output_lost"
        assert seen.waits is WaitReason.PARKED
        assert shop.done == ["reserve", "charge"], "neither repeated nor silently undone"
        await admin.skip_step(run.id, "charge", {"what": "by hand"})
        assert isinstance(await run.outcome(SOON), Completed)


async def test_an_input_map_that_raises_parks_and_can_be_retried(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    broken = [True]

    def mapping(order: Order) -> Order:
        if broken:
            raise KeyError("no such thing")
        return order

    @step
    async def work(inp: Order) -> Done:
        return Done(inp.order_id)

    builder = SagaBuilder(Order)
    output = builder.add_step(work, depends_on=builder.initial, input_map=mapping)
    async with make() as orchestrator:
        handle = orchestrator.register("mapped", builder.build(output=output))
        run = await handle.start(Order("1"))
        await _parked(orchestrator, run.id)
        seen = await SagaAdmin(orchestrator).get_saga(run.id)
        assert seen.parked == "input_failed"
        assert any("no such thing" in (entry.error or "") for entry in seen.step_history)
        await until(lambda: not orchestrator.engine.held)  # it has heard of its commit, too
        assert f"saga {run.id} is parked at work: input_failed (KeyError)" in caplog.messages
        with pytest.raises(SagaParkedError, match="is parked at work: input_failed"):
            await run.result()
        broken.clear()
        await SagaAdmin(orchestrator).retry_step(run.id, "work")
        assert await run.result(SOON) == Done("1")


async def test_an_idempotency_key_starts_one_saga(make: Make) -> None:
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        first = await handle.start(Order("1"), idempotency_key="k")
        again = await handle.start(Order("1"), idempotency_key="k")
        assert (first.created, again.created, again.id) == (True, False, first.id)
        with pytest.raises(StartConflictError) as caught:
            await handle.start(Order("2"), idempotency_key="k")
        assert caught.value.saga_id == first.id


async def test_one_active_saga_a_business_key_and_name(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        other = orchestrator.register("other", make_saga(shop))
        run = await handle.start(Order("1"), aggregation_id="order-1")
        with pytest.raises(ActiveSagaAlreadyExistsError) as caught:
            await handle.start(Order("1"), aggregation_id="order-1")
        assert caught.value.saga_id == run.id
        await other.start(Order("1"), aggregation_id="order-1")
        assert shop.hold is not None
        shop.hold.set()
        await run.result(SOON)
        assert (await handle.start(Order("1"), aggregation_id="order-1")).created


async def test_a_timeout_of_the_waiter_leaves_the_saga_alone(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        run = await handle.start(Order("1"))
        with pytest.raises(SagaResultTimeoutError):
            await run.result(0.05)
        assert shop.hold is not None
        shop.hold.set()
        assert await handle.attach(run.id).result(SOON) == Done("ship")


async def test_abort_ends_a_running_saga_and_lists_what_may_still_run(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        run = await handle.start(Order("1"))
        while not any(":charge:" in key for key in shop.keys):
            await asyncio.sleep(0.005)
        await SagaAdmin(orchestrator).abort(run.id)
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind.value) for left in ended.left_over] == [
            ("reserve", "not undone"),
            ("charge", "may still run"),
        ]
        with pytest.raises(SagaStateError, match="has ended"):
            await SagaAdmin(orchestrator).abort(run.id)


async def test_a_verb_to_a_saga_at_work_is_answered_by_its_owner(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    async with make() as orchestrator:
        handle = orchestrator.register("shop", make_saga(shop))
        run = await handle.start(Order("1"))
        while not any(":charge:" in key for key in shop.keys):
            await asyncio.sleep(0.005)
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="nothing that waits"):
            await admin.retry_step(run.id, "charge")
        asking = asyncio.create_task(admin.compensate_step(run.id))
        async with asyncio.timeout(SOON):
            while "compensation_requested" not in [e.kind for e in (await admin.get_saga(run.id)).step_history]:
                await asyncio.sleep(0.005)
        assert shop.hold is not None
        shop.hold.set()
        await asking
        assert isinstance(await run.outcome(SOON), Compensated)
        assert shop.done == ["reserve", "charge", "refund charge", "release reserve"]


async def test_a_verb_that_is_refused_leaves_no_trace_in_what_the_saga_knows(make: Make) -> None:
    shop = Shop(hold=asyncio.Event(), fails={"ship": 1})
    assert shop.hold is not None
    builder = SagaBuilder(Order)
    reserved = builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_step(step(shop.charge), depends_on=builder.initial)
    builder.add_step(step(shop.ship), depends_on=reserved, input_map=lambda done: Order(done.what))
    async with make() as orchestrator:
        run = await orchestrator.register("refused", builder.build()).start(Order("1"))
        await until(lambda: len(shop.keys) == 2)
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="does not wait at that step"):
            await admin.step(run.id, reserved).skip(Done("the operator's"))
        shop.hold.set()
        assert isinstance(await run.outcome(SOON), Compensated)
    assert shop.done == ["reserve", "charge", "release reserve"], "by what it returned itself"


async def test_an_event_wakes_a_saga_that_waits_for_its_retry(make: Make) -> None:
    seen: list[object] = []
    failed: list[int] = []

    @step(retry_policy=FixedRetry(max_attempts=2, delay=timedelta(hours=1)))
    async def wait_for_approval(inp: Order) -> Done:
        if not failed:
            failed.append(1)
            raise RuntimeError("not approved yet")
        return Done(inp.order_id)

    builder = SagaBuilder(Order)

    def mapping(ctx: InputContext[Order]) -> Order:
        latest = ctx.latest_event
        seen.append(latest)
        return Order(latest["by"] if latest else "nobody")

    output = builder.add_step(wait_for_approval, input_map=mapping)
    async with make() as orchestrator:
        handle = orchestrator.register("approved", builder.build(output=output))
        run = await handle.start(Order("1"))
        while (snapshot := await run.snapshot()).status is not SagaStatus.SUSPENDED:
            await asyncio.sleep(0.005)
        assert not await orchestrator.notify(run.id, uuid4(), {"by": "mallory"})
        assert snapshot.step_execution_token is not None
        assert await orchestrator.notify(run.id, snapshot.step_execution_token, {"by": "ann"})
        assert await run.result(SOON) == Done("ann")
        assert not await orchestrator.notify(run.id, snapshot.step_execution_token, {"by": "late"})


async def test_a_graceful_stop_hands_back_and_another_process_goes_on(make: Make) -> None:
    shop = Shop(hold=asyncio.Event())
    definition = make_saga(shop)
    async with make(stop_timeout=timedelta(milliseconds=50)) as first:
        run = await first.register("shop", definition).start(Order("1"))
        while not any(":charge:" in key for key in shop.keys):
            await asyncio.sleep(0.005)
    assert shop.hold is not None
    shop.hold.set()
    async with make() as second:
        handle = second.register("shop", definition)
        assert await handle.attach(run.id).result(SOON) == Done("ship")
        assert shop.done == ["reserve", "charge", "ship"]


async def test_a_process_without_slots_only_starts(make: Make) -> None:
    shop = Shop()
    definition = make_saga(shop)
    async with make(concurrency=0) as starter, make() as worker:
        worker.register("shop", definition)
        run = await starter.register("shop", definition).start(Order("1"))
        assert await run.result(SOON) == Done("ship")
        assert (await starter.health()).ok


async def test_bad_input_is_refused_before_anything_is_written(make: Make) -> None:
    async with make(max_payload_bytes=1000) as orchestrator:
        handle = orchestrator.register("shop", make_saga(Shop()))
        with pytest.raises(PayloadError, match="HINT"):
            await orchestrator.start(saga_name="shop", initial_data={"wrong": 1})
        with pytest.raises(PayloadTooLargeError):
            await handle.start(Order("x" * 2000))
        with pytest.raises(SagaNotRegisteredError, match="shop"):
            await orchestrator.start(saga_name="unknown", initial_data={})
        with pytest.raises(PayloadError):
            await handle.start(Order("1"), aggregation_id="a\x00b")
        with pytest.raises(SagaNotFoundError):
            await orchestrator.get_snapshot(UUID(int=1))
        assert (await orchestrator.health()).in_flight == 0


async def _parked(orchestrator: SagaOrchestrator, saga_id: UUID) -> None:
    async with asyncio.timeout(SOON):
        while (await orchestrator.get_snapshot(saga_id)).parked is None:
            await asyncio.sleep(0.005)


@pytest.mark.predecessor(22)
async def test_a_step_is_called_with_what_its_own_signature_asks_for(make: Make) -> None:
    seen: list[object] = []

    @step
    async def old(inp: Order, note: str = "my own default", *more: object, **named: object) -> Done:
        seen.extend((inp, note, more, named))
        return Done("old")

    class Old(BaseStep[Order, Done]):
        @override
        async def execute(self, inp: Order, /, *more: object, **named: object) -> Done:
            seen.extend((inp, more, named))
            return Done("old")

    builder = SagaBuilder(Order)
    builder.add_step(old, depends_on=builder.initial)
    output = builder.add_step(Old(), depends_on=builder.initial, step_id="class")
    async with make() as orchestrator:
        run = await orchestrator.register("old", builder.build(output=output)).start(Order("1"))
        assert await run.result(SOON) == Done("old")
        assert seen == [Order("1"), "my own default", (), {}, Order("1"), (), {}]
