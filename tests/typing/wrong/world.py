"""Fakes that the step in whose place they stand could not be."""

from __future__ import annotations

from saga_fn import Done, Event, SagaBuilder
from saga_fn.testing import World
from tests.typing.shop import (
    Charged,
    ChargeInput,
    Order,
    Reserved,
    ReserveInput,
    charge,
    create_order,
    do_reserve,
    reserve,
)

approval = Event("approval", Order)
builder = SagaBuilder(ReserveInput)
reserved = builder.add_step(reserve, depends_on=builder.initial)


async def undo_another(inp: ReserveInput, out: Charged) -> None: ...


async def find_another(inp: ChargeInput) -> Done[Reserved]:
    return Done(Reserved("1"))


async def use(world: World) -> None:
    # refused: arg-type | reportCallIssue
    world.fake(charge, do_reserve)
    # refused: return-value | reportCallIssue
    world.fake(charge, lambda inp: "receipt")
    # refused: attr-defined | reportAttributeAccessIssue
    world.fake(charge, lambda inp: Charged(inp.order_id))
    # refused: misc | reportCallIssue
    world.fake(charge, returns="receipt")
    # refused: call-overload | reportCallIssue
    world.fake(charge, returns=Charged("1"), raises=ValueError())
    # refused: call-overload | reportCallIssue
    world.fake(charge)
    # refused: arg-type | reportCallIssue
    world.fake_undo(reserve, undo_another)
    # refused: arg-type | reportCallIssue
    world.fake_probe(charge, find_another)
    # refused: arg-type | reportArgumentType
    world.crash(charge, at="later")
    # refused: arg-type | reportArgumentType
    world.late(charge, phase="undo")
    # refused: call-overload | reportCallIssue
    world.fake(1, returns=1)
    # refused: arg-type | reportArgumentType
    await world.until("1", step=charge)
    run = await world.register(create_order).start(Order("1"))
    # refused: misc | reportArgumentType
    await world.send(run, approval, Charged("1"))
    # refused: arg-type | reportArgumentType
    await world.advance(3)
