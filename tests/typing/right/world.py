"""A World: its fakes are judged by their steps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_type

from returns.result import Failure, Result

from saga_fn import (
    NOT_DONE,
    Delivery,
    Done,
    Event,
    NotDone,
    SagaBuilder,
    SagaHandle,
    SagaOrchestrator,
    SagaRun,
    SagaSnapshot,
    StepContext,
    WaitFor,
    step,
)
from saga_fn.testing import Call, World
from tests.typing.shop import (
    ChargeCard,
    Charged,
    ChargeInput,
    Order,
    Reserved,
    ReserveInput,
    ReserveInventory,
    charge,
    create_order,
    do_charge,
    reserve,
)

approval = Event("approval", Order)
try_to_charge = step(do_charge, timeout=timedelta(seconds=3))


async def charge_at_length(inp: ChargeInput, ctx: StepContext) -> Charged:
    return Charged(inp.reservation_id + ctx.idempotency_key)


async def refuse(inp: ChargeInput) -> Result[Charged, str]:
    return Failure(inp.reservation_id)


async def undo(inp: ReserveInput, out: Reserved, ctx: StepContext) -> WaitFor | None:
    return WaitFor(approval) if ctx.attempt == 1 else None


async def find(inp: ChargeInput) -> Done[Charged] | NotDone:
    return Done(Charged(inp.reservation_id)) if inp.cents else NOT_DONE


async def use(world: World) -> None:
    orders = world.register(create_order)
    assert_type(orders, SagaHandle[Order, Charged])
    world.fake(charge, lambda inp: Charged(inp.reservation_id))
    world.fake(charge, lambda inp, ctx: Charged(inp.reservation_id + ctx.idempotency_key))
    world.fake(charge, charge_at_length, times=2)
    world.fake(charge, refuse)
    world.fake(charge, do_charge)
    world.fake(charge, returns=Charged("1"))
    world.fake(try_to_charge, do_charge)
    world.fake(charge, raises=TimeoutError("too slow"), times=1)
    world.fake(ReserveInventory(), lambda inp: Reserved(inp.order_id))
    world.fake(ChargeCard(), returns=Charged("1"))
    world.fake("charge", returns=1)
    world.fake("charge", lambda inp, ctx: f"{inp} {ctx.attempt}")
    world.fake_undo(reserve, lambda inp, out: print(inp.order_id, out.reservation_id))
    world.fake_undo(reserve, undo)
    world.fake_undo("reserve", raises=ValueError())
    world.fake_probe(charge, find)
    world.fake_probe(charge, lambda inp, ctx: Done(Charged(ctx.idempotency_key)))
    world.fake_probe(charge, returns=NOT_DONE)
    world.fake_probe(charge, returns=Done(Charged("1")))
    builder = SagaBuilder(ReserveInput)
    reserved = builder.add_step(reserve, depends_on=builder.initial)
    assert_type(world.register(builder.build(output=reserved), name="built"), SagaHandle[ReserveInput, Reserved])
    world.fake(reserved, returns=Reserved("1"))
    world.fake(reserved, lambda inp: Reserved("1"))
    world.crash(charge, at="after_commit")
    world.twice(reserved, phase="compensate")
    world.late("charge", times=2)
    run = await orders.start(Order("1"))
    assert_type(run, SagaRun[Charged])
    assert_type(await world.until(run, step=charge), SagaSnapshot)
    assert_type(await world.until(run.id, waits_for=approval), SagaSnapshot)
    assert_type(await world.send(run, approval, Order("1")), Delivery)
    world.lose_lease(run)
    await world.advance(timedelta(days=3))
    await world.run(past_waits=True)
    assert_type(await run.result(), Charged)
    assert_type(world.calls, tuple[Call, ...])
    assert_type(world.called, tuple[str, ...])
    assert_type(world.orchestrator, SagaOrchestrator)
    assert_type(world.now, datetime)


async def begin() -> None:
    async with World(lease=timedelta(seconds=5), patience=timedelta(minutes=5), only_fakes=True) as world:
        assert_type(world, World)
