"""An operator takes a saga back to a step: later ones run again under other keys, in any process, and nothing is forgotten unsaid."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import cast

import pytest

from saga_fn import (
    Completed,
    Failed,
    FixedRetry,
    MemoryStore,
    NoRetry,
    SagaAdmin,
    SagaBuilder,
    SagaDefinitionError,
    SagaOrchestrator,
    SagaStateError,
    SagaStatus,
    StepContext,
    StepStatus,
    step,
)
from tests.support.approval import Approval, approval, approved
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON, suspended, until

RARELY = FixedRetry(max_attempts=9, delay=timedelta(hours=1))


def keys(shop: Shop) -> list[str]:
    """The step that was called, with the generation of its key."""
    return [":".join(key.split(":")[1:]) for key in shop.keys]


async def test_a_parked_saga_runs_again_from_a_step_and_the_journal_tells_who_asked(make: Make) -> None:
    shop = Shop(fails={"ship": 1})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        await admin.rewind(run.id, "charge", forget=["charge"], reason="the bank has lost it, OPS-12")
        assert await run.result(SOON) == Done("ship")
        assert shop.done == ["reserve", "charge", "charge", "ship"]
        seen = await admin.get_saga(run.id)
        (entry,) = [each for each in seen.step_history if each.kind == "rewind_requested"]
        assert (entry.step_id, entry.actor, entry.reason) == ("charge", "ann@shop", "the bank has lost it, OPS-12")
        assert keys(shop) == [
            "reserve:execute",
            "charge:execute",
            "ship:execute",
            f"charge:execute:{entry.seq}",
            f"ship:execute:{entry.seq}",
        ]
        assert await admin.verify(run.id) == []


async def test_what_would_be_forgotten_unsaid_is_refused_by_name(make: Make) -> None:
    shop = Shop(fails={"ship": 1})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        before = (await admin.get_saga(run.id)).revision
        with pytest.raises(SagaStateError, match="nothing more of what 'reserve', 'charge' has done") as refused:
            await admin.rewind(run.id, "reserve")
        assert 'forget=["reserve", "charge"]' in (refused.value.hint or "")
        with pytest.raises(SagaStateError, match="nothing more of what 'charge' has done"):
            await admin.rewind(run.id, "reserve", forget={"reserve"})
        assert (await admin.get_saga(run.id)).revision == before
        await admin.rewind(run.id, "reserve", forget=("reserve", "charge", "ship"))
        assert await run.result(SOON) == Done("ship")


async def test_an_owner_at_work_takes_the_saga_back_or_says_what_has_to_be_named(make: Make) -> None:
    shop, hold = Shop(fails={"ship": 1}), asyncio.Event()

    async def wait(inp: Order) -> Done:
        await hold.wait()
        return Done("waited")

    builder = SagaBuilder(Order, order="graph")
    builder.add_step(step(wait), depends_on=builder.initial)
    charged = builder.add_step(step(shop.charge), depends_on=builder.initial)
    builder.add_step(step(shop.ship, retry_policy=RARELY), depends_on=charged, input_map=lambda out: Order(out.what))
    definition = builder.build(output=charged)
    async with make() as orchestrator, make(concurrency=0) as elsewhere:
        run = await orchestrator.register("shop", definition).start(Order("1"))
        admin = SagaAdmin(elsewhere)
        async with asyncio.timeout(SOON):
            while (await admin.get_saga(run.id)).steps[2].status is not StepStatus.RETRYING:
                await asyncio.sleep(0.01)
        with pytest.raises(SagaStateError, match="nothing more of what 'charge' has done"):
            await admin.rewind(run.id, "charge")
        with pytest.raises(SagaStateError, match="is running a step that would go back"):
            await admin.rewind(run.id, "wait", forget=["wait"])
        await admin.rewind(run.id, "charge", forget=["charge"])
        await until(lambda: shop.done == ["charge", "charge", "ship"])
        hold.set()
        assert await run.result(SOON) == Done("charge")
        assert await admin.verify(run.id) == []


async def test_a_failed_saga_goes_back_though_some_of_it_was_undone(make: Make) -> None:
    shop = Shop(fails={"ship": 1, "release reserve": 9})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        ended = await run.outcome(SOON)
        assert isinstance(ended, Failed)
        assert shop.done == ["reserve", "charge", "refund charge"]
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="nothing more of what 'reserve' has done"):
            await admin.rewind(run.id, "reserve")
        await admin.rewind(run.id, "reserve", forget=["reserve"])
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).status is not SagaStatus.COMPLETED:
                await asyncio.sleep(0.01)
        assert await admin.verify(run.id) == []


async def test_a_wait_waits_again_and_its_output_is_that_of_the_new_event(make: Make) -> None:
    shop = Shop()
    seen: list[str] = []

    async def note(inp: Order) -> Done:
        seen.append(inp.order_id)
        if len(seen) == 1:
            raise KeyError("wrong")
        return Done(inp.order_id)

    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve), depends_on=builder.initial)
    answered = builder.add_event(approval)
    builder.add_step(step(note, retry_policy=RARELY), depends_on=answered, input_map=lambda told: Order(told.by))
    async with make() as orchestrator:
        run = await orchestrator.register("asked", builder.build()).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        await admin.skip_step(run.id, "approval", Approval("nobody"))
        async with asyncio.timeout(SOON):
            while not seen:
                await asyncio.sleep(0.01)
        await suspended(run)
        await admin.rewind(run.id, "approval")
        await suspended(run)
        assert (await admin.get_saga(run.id)).steps[1].status is StepStatus.WAITING
        await orchestrator.to(run.id, approval).send(Approval("ann"))
        assert isinstance(await run.outcome(SOON), Completed)
        assert seen == ["nobody", "ann"]
        assert await admin.verify(run.id) == []


async def test_a_pivot_that_is_done_is_never_run_again(make: Make) -> None:
    shop = Shop(fails={"ship": 1})
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve), depends_on=builder.initial)
    builder.add_step(step(shop.charge, pivot=True), input_map=lambda ctx: ctx.initial_data)
    shipped = builder.add_step(step(shop.ship), input_map=lambda ctx: ctx.initial_data)
    async with make() as orchestrator:
        run = await orchestrator.register("pivoted", builder.build(output=shipped)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        for to in ("reserve", "charge"):
            with pytest.raises(SagaStateError, match="is past its pivot"):
                await admin.rewind(run.id, to, forget=("reserve", "charge"))
        await admin.rewind(run.id, "ship")
        assert await run.result(SOON) == Done("ship")


async def test_a_fan_out_runs_again_as_a_whole(make: Make) -> None:
    shop, many = Shop(fails={"ship": 1}), [2]

    async def pack(inp: Order) -> Done:
        shop.done.append(f"pack {inp.order_id}")
        return Done(inp.order_id)

    builder = SagaBuilder(Order)
    builder.add_step(
        step(pack).each(concurrency=2), input_map=lambda ctx: [Order(str(number)) for number in range(many[0])]
    )
    shipped = builder.add_step(step(shop.ship, retry_policy=RARELY), input_map=lambda ctx: ctx.initial_data)
    async with make() as orchestrator:
        run = await orchestrator.register("packed", builder.build(output=shipped)).start(Order("1"))
        await suspended(run)
        admin = SagaAdmin(orchestrator)
        with pytest.raises(SagaStateError, match="cannot go back to one item"):
            await admin.rewind(run.id, "pack[0]", forget=["pack"])
        with pytest.raises(SagaStateError, match="nothing more of what 'pack' has done"):
            await admin.rewind(run.id, "pack")
        many[0] = 3
        await admin.rewind(run.id, "pack", forget=["pack"])
        assert await run.result(SOON) == Done("ship")
        assert sorted(shop.done) == ["pack 0", "pack 0", "pack 1", "pack 1", "pack 2", "ship"]
        assert await admin.verify(run.id) == []


async def test_another_process_goes_on_after_it_under_the_new_keys(make: Make) -> None:
    shop = Shop(fails={"charge": 2})
    definition = make_saga(shop, retry=RARELY)
    async with make(concurrency=0) as orchestrator, make(concurrency=0) as other:
        run = await orchestrator.register("shop", definition).start(Order("1"))
        other.register("shop", definition)
        await orchestrator.run_due()
        await SagaAdmin(orchestrator).rewind(run.id, "reserve", forget=["reserve"])
        await other.run_due()
        await SagaAdmin(orchestrator).retry_step(run.id, "charge")
        await orchestrator.run_due()
        assert await run.result(SOON) == Done("ship")
        generations = [key.split(":")[2:] for key in keys(shop)]
        assert [len(each) for each in generations] == [0, 0, 1, 1, 1, 0], "ship had not begun"
        assert await SagaAdmin(orchestrator).verify(run.id) == []


async def test_a_second_click_takes_nothing_back_that_was_not_seen(make: Make) -> None:
    shop = Shop(fails={"ship": 1})
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop, retry=RARELY)).start(Order("1"))
        await orchestrator.run_due()
        admin = SagaAdmin(orchestrator)
        seen = (await admin.get_saga(run.id)).revision
        await admin.rewind(run.id, "charge", forget=["charge"], expect=seen)
        with pytest.raises(SagaStateError, match="has not come to that step"):
            await admin.rewind(run.id, "charge", forget=["charge"])
        await orchestrator.run_due()
        with pytest.raises(SagaStateError, match="has ended"):
            await admin.rewind(run.id, "charge", forget=["charge"], expect=seen)
        assert shop.done == ["reserve", "charge", "charge", "ship"]


@pytest.mark.parametrize("forget", ["charge", b"charge", None, 7, [None], [""], {"charge": 1}.values()])
async def test_what_names_no_steps_is_refused(make: Make, forget: object) -> None:
    async with make(concurrency=0) as orchestrator:
        run = await orchestrator.register("approved", approved(Shop())).start(Order("1"))
        with pytest.raises(SagaDefinitionError, match=r"a list of steps is wanted|a step's id or its StepRef"):
            await SagaAdmin(orchestrator).rewind(run.id, "reserve", forget=cast("list[str]", forget))


async def test_each_run_of_a_step_is_undone_under_a_key_of_its_own(make: Make) -> None:
    """A bank that answers a repeated key as it did then would leave the second charge standing."""
    shop = Shop(fails={"ship": 2, "release reserve": 2})
    async with make() as orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        assert isinstance(await run.outcome(SOON), Failed)
        admin = SagaAdmin(orchestrator)
        await admin.rewind(run.id, "reserve", forget=["reserve"])
        async with asyncio.timeout(SOON):
            while (await run.snapshot()).status is not SagaStatus.COMPENSATED:
                await asyncio.sleep(0.01)
        (entry,) = [each for each in (await admin.get_saga(run.id)).step_history if each.kind == "rewind_requested"]
        assert [key for key in keys(shop) if "compensate" in key] == [
            "charge:compensate",
            "reserve:compensate",
            "reserve:compensate",
            f"charge:compensate:{entry.seq}",
            f"reserve:compensate:{entry.seq}",
        ]
        assert await admin.verify(run.id) == []


async def test_the_work_of_a_step_that_has_gone_back_is_another_operation_in_either_direction() -> None:
    """A guard that has seen it undone would refuse it as late."""
    operations: list[tuple[str, str]] = []
    fails = ["ship", "release", "ship"]

    async def release(inp: Order, out: Done) -> None:
        if "release" in fails:
            fails.remove("release")
            raise KeyError("release")

    async def charge(inp: Order, ctx: StepContext) -> Done:
        operations.append(("charge", ctx.operation))
        return Done("charge")

    async def refund(inp: Order, out: Done, ctx: StepContext) -> None:
        operations.append(("refund", ctx.operation))

    async def reserve(inp: Order) -> Done:
        return Done("reserve")

    async def ship(inp: Order) -> Done:
        fails.remove("ship")
        raise KeyError("ship")

    builder = SagaBuilder(Order)
    for each in (
        step(reserve, compensate=release, compensation_retry_policy=NoRetry()),
        step(charge, compensate=refund),
        step(ship),
    ):
        builder.add_step(each, input_map=lambda ctx: ctx.initial_data)
    orchestrator = SagaOrchestrator(MemoryStore())
    run = await orchestrator.register("guarded", builder.build()).start(Order("1"))
    await orchestrator.run_until_idle()
    admin = SagaAdmin(orchestrator)
    await admin.rewind(run.id, "reserve", forget=["reserve"])
    await orchestrator.run_until_idle()
    (entry,) = [each for each in (await admin.get_saga(run.id)).step_history if each.kind == "rewind_requested"]
    first = f"{run.id}:charge"
    assert operations == [
        ("charge", first),
        ("refund", first),
        ("charge", f"{first}:{entry.seq}"),
        ("refund", f"{first}:{entry.seq}"),
    ]


async def test_a_saga_is_taken_back_by_the_reference_of_a_step(make: Make) -> None:
    shop = Shop(fails={"ship": 1})
    builder = SagaBuilder(Order)
    reserved = builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    shipped = builder.add_step(
        step(shop.ship, retry_policy=RARELY), depends_on=reserved, input_map=lambda _: Order("1")
    )
    async with make() as orchestrator:
        run = await orchestrator.register("by reference", builder.build(output=shipped)).start(Order("1"))
        await suspended(run)
        chosen = SagaAdmin(orchestrator).step(run.id, reserved)
        with pytest.raises(SagaStateError, match="nothing more of what 'reserve' has done"):
            await chosen.rewind()
        await chosen.rewind(forget=[reserved, shipped], reason="mended")
        assert await run.result(SOON) == Done("ship")
        assert shop.done == ["reserve", "reserve", "ship"]
