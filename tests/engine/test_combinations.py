"""Things that are simple alone, at the same time: deadlines, branches, lists, waits, doubt and operators. On all stores."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_fn import (
    Compensated,
    Delivery,
    Event,
    Failed,
    FixedRetry,
    LeftOverKind,
    NotDone,
    SagaAdmin,
    SagaBuilder,
    SagaStateError,
    SagaStatus,
    StepContext,
    StepStatus,
    WaitFor,
    any_of,
    step,
)
from saga_fn import Done as Found
from tests.support.approval import Approval, Approved, Rejected, approval
from tests.support.shop import Done, Order, Shop
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

MS = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)


async def test_a_deadline_in_the_middle_of_a_list_undoes_what_is_done_of_it_and_begins_no_more(make: Make) -> None:
    told: list[str] = []
    hold = asyncio.Event()

    async def pack(inp: Order) -> Done:
        if inp.order_id == "1":
            await hold.wait()
        told.append(inp.order_id)
        return Done(inp.order_id)

    async def unpack(inp: Order, out: Done) -> None:
        told.append(f"undo {out.what}")

    builder = SagaBuilder(Order, order="graph", deadline=1500 * MS)  # two items begin before
    orders = [Order(str(number)) for number in range(4)]
    builder.add_step(step(pack, compensate=unpack).each(concurrency=1), input_map=lambda _: orders)
    builder.add_event(approval, timeout=100 * MS, default=None)
    async with make() as orchestrator:
        run = await orchestrator.register("list", builder.build()).start(Order("0"))
        admin = SagaAdmin(orchestrator)
        while (await run.snapshot()).rolls_back_at is not None:
            await asyncio.sleep(0.01)
        hold.set()
        ended = await run.outcome(SOON)
        steps = {one.step_id: one.status for one in (await admin.get_saga(run.id)).steps}
    assert isinstance(ended, Compensated)
    assert ended.error == "SagaDeadlineError: the saga's deadline of 1.5 s was over"
    assert (told[:2], sorted(told[2:])) == (["0", "1"], ["undo 0", "undo 1"])
    assert steps["pack[2]"] is steps["pack[3]"] is StepStatus.PENDING


async def test_a_wait_with_a_default_ends_with_the_saga_when_a_sibling_fails_and_cuts_the_others_short(
    make: Make,
) -> None:
    shop = Shop(fails={"ship": 1}, hold=asyncio.Event())
    builder = SagaBuilder(Order, order="graph", siblings_on_failure="cancel")
    reserved = builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    builder.add_event(approval, timeout=HOUR, default=Approval("nobody"))
    builder.add_step(step(shop.charge), depends_on=builder.initial)
    builder.add_step(step(shop.ship), depends_on=reserved, input_map=lambda done: Order(done.what))
    async with make() as orchestrator:
        run = await orchestrator.register("cut", builder.build()).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert [(left.step_id, left.kind) for left in ended.left_over] == [("charge", LeftOverKind.MAY_HAVE_RUN)]
        assert await orchestrator.to(run.id, approval).send(Approval("late")) is Delivery.ENDED
    assert shop.done == ["reserve", "release reserve"]


refunded = Event("refunded", Approval)


@pytest.mark.parametrize("early", [True, False], ids=["while it runs", "while it waits"])
async def test_a_compensation_waits_after_the_deadline_and_takes_what_comes(make: Make, early: bool) -> None:
    begun, hold = asyncio.Event(), asyncio.Event()
    got: list[str] = []

    async def undo(inp: Order, out: Done, ctx: StepContext) -> WaitFor | None:
        begun.set()
        await hold.wait()
        came = ctx.received(refunded)
        if came is None:
            return WaitFor(refunded)
        got.append(came.by)
        return None

    builder = SagaBuilder(Order, deadline=1000 * MS)  # the step begins before
    bought = step(Shop().reserve, compensate=undo, compensation_waits_for=refunded)
    builder.add_step(bought, depends_on=builder.initial)
    builder.add_event(approval, timeout=999 * MS)
    async with make() as orchestrator:
        run = await orchestrator.register("late", builder.build()).start(Order("1"))
        await begun.wait()
        if not early:
            hold.set()
            await suspended(run)
        sent = asyncio.create_task(orchestrator.to(run.id, refunded).send(Approval("the bank")))
        await asyncio.sleep(0.02)
        hold.set()
        assert isinstance(await run.outcome(SOON), Compensated)
        assert await sent in (Delivery.BUFFERED, Delivery.ACCEPTED)
    assert got == ["the bank"]


async def test_a_saga_is_aborted_while_its_probe_runs_and_rolled_back_by_what_a_later_one_finds(make: Make) -> None:
    asking, hold = asyncio.Event(), asyncio.Event()
    undone: list[str] = []

    async def pay(inp: Order) -> Done:
        await asyncio.Event().wait()
        return Done("never")

    async def ask(inp: Order) -> Found[Done] | NotDone:
        asking.set()
        await hold.wait()
        return Found(Done("found"))

    async def refund(inp: Order, out: Done) -> None:
        undone.append(out.what)

    builder = SagaBuilder(Order)
    paid = step(pay, probe=ask, compensate=refund, timeout=50 * MS, probe_timeout=None)
    builder.add_step(paid, depends_on=builder.initial)
    async with make() as orchestrator:
        sagas = orchestrator.register("asked", builder.build())
        run = await sagas.start(Order("1"))
        await asking.wait()
        admin = SagaAdmin(orchestrator)
        assert (await admin.get_saga(run.id)).steps[0].status is StepStatus.PROBING
        with pytest.raises(SagaStateError, match="does not wait at that step"):
            await admin.skip_step(run.id, "pay", {"what": "by hand"})
        await admin.abort(run.id)
        aborted = await run.snapshot()
        assert aborted.status is SagaStatus.FAILED
        assert [left.kind for left in aborted.left_over] == [LeftOverKind.MAY_HAVE_RUN]
        hold.set()
        await admin.compensate_step(run.id)
        await until(lambda: bool(undone))
        assert isinstance(await sagas.attach(run.id).outcome(SOON), Compensated)
    assert undone == ["found"]


async def test_a_step_in_doubt_that_waits_to_be_asked_about_again_obeys_a_person(make: Make) -> None:
    asked = 0

    async def pay(inp: Order) -> Done:
        await asyncio.Event().wait()
        return Done("never")

    async def ask(inp: Order) -> Found[Done] | NotDone:
        nonlocal asked
        asked += 1
        raise ConnectionError("no answer")

    builder = SagaBuilder(Order)
    rarely = FixedRetry(max_attempts=9, delay=HOUR)
    paid = builder.add_step(
        step(pay, probe=ask, timeout=50 * MS, probe_retry_policy=rarely), depends_on=builder.initial
    )
    async with make() as orchestrator:
        run = await orchestrator.register("doubt", builder.build(output=paid)).start(Order("1"))
        admin = SagaAdmin(orchestrator)
        await suspended(run)
        assert [one.status for one in (await admin.get_saga(run.id)).steps] == [StepStatus.UNKNOWN]
        await admin.retry_step(run.id, paid)
        await until(lambda: asked == 2)
        await suspended(run)
        await admin.step(run.id, paid).skip(Done("by hand"))
        assert await run.result(SOON) == Done("by hand")


async def test_of_two_events_at_once_a_wait_for_any_takes_one_and_the_next_wait_the_other(make: Make) -> None:
    yes, no = Event("yes", Approved), Event("no", Rejected)
    builder = SagaBuilder(Order)
    first = builder.add_event(any_of(yes, no))
    second = builder.add_event(any_of(yes, no), step_id="second")

    async def both(inp: list[str]) -> list[str]:
        return sorted(inp)

    joined = builder.add_step(step(both), depends_on=(first, second), input_map=lambda a, b: [str(a), str(b)])
    async with make() as orchestrator:
        run = await orchestrator.register("any", builder.build(output=joined)).start(Order("1"))
        await suspended(run)
        await asyncio.gather(
            orchestrator.to(run.id, yes).send(Approved("ann")), orchestrator.to(run.id, no).send(Rejected("dear"))
        )
        assert await run.result(SOON) == [str(Approved("ann")), str(Rejected("dear"))]


async def test_many_that_begin_later_have_the_events_that_were_kept_for_their_keys(make: Make) -> None:
    builder = SagaBuilder(Order, deadline=2 * HOUR)
    answer = builder.add_event(approval, timeout=HOUR)
    async with make() as orchestrator:
        sagas = orchestrator.register("kept", builder.build(output=answer))
        keys = ["one", "two", "three"]
        for key in keys:
            assert await orchestrator.to(("kept", key), approval).send(Approval(key)) is Delivery.KEPT
        orders = [Order(key) for key in keys]
        runs = await sagas.start_many(orders, aggregation_id=lambda order: order.order_id, delay=200 * MS)
        assert [await run.result(SOON) for run in runs] == [Approval(key) for key in keys]
        for run in runs:
            ended = await run.snapshot()
            assert ended.ended_at is not None
            assert ended.ended_at >= ended.created_at + 200 * MS
