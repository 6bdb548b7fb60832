"""What cannot be waited for, nor sent."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from saga_fn import (
    Event,
    MemoryStore,
    SagaBuilder,
    SagaOrchestrator,
    StepContext,
    StepOptions,
    StepRef,
    WaitFor,
    any_of,
    saga,
    sleep,
    step,
)
from tests.typing.shop import Charged, ChargeInput, Order, Quoted, ReserveInput, charge, reserve

DAY = timedelta(days=1)
paid = Event("paid", Charged)
quoted = Event("quoted", Quoted)

builder = SagaBuilder(Order)
reserved = builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id))
answer = builder.add_event(paid)
perhaps = builder.add_event(paid, timeout=DAY, default=None, step_id="perhaps")

# refused: attr-defined | reportAttributeAccessIssue | cents
builder.add_step(charge, depends_on=answer, input_map=lambda a: ChargeInput(a.cents, 1))
# refused: union-attr | reportOptionalMemberAccess | payment_id
builder.add_step(charge, depends_on=perhaps, input_map=lambda a: ChargeInput(a.payment_id, 1))
# refused: call-overload | reportCallIssue
builder.add_event(paid, default=None)
# refused: call-overload | reportArgumentType
builder.add_event(paid, timeout=5)
# refused: call-overload | reportArgumentType
builder.add_event("paid")
# refused: call-overload | reportCallIssue
builder.add_event(paid, depends_on=reserved)
# refused: attr-defined | reportAttributeAccessIssue | cents
builder.add_event(paid, depends_on=reserved, correlate=lambda r: r.cents)
# refused: arg-type | reportArgumentType
builder.add_event(paid, depends_on=reserved, correlate=lambda r: 5)
# refused: call-overload | reportArgumentType
builder.add_sleep(5)
# refused: arg-type | reportArgumentType
builder.add_sleep(until=reserved)
# refused: arg-type | reportArgumentType
builder.add_sleep(until=reserved, input_map=lambda r: r.reservation_id)
# refused: call-overload | reportCallIssue
any_of(paid)
# refused: call-overload | reportArgumentType
SagaBuilder(Order, deadline=5)
# refused: attr-defined | reportAttributeAccessIssue | each
paid.each(concurrency=2)
# refused: attr-defined | reportAttributeAccessIssue | when
paid.when(lambda order: order.order_id != "")
# refused: attr-defined | reportAttributeAccessIssue | each
any_of(paid, quoted).each(concurrency=2)
# refused: attr-defined | reportAttributeAccessIssue | each
answer.each(concurrency=2)
# refused: attr-defined | reportFunctionMemberAccess | when
sleep.when(lambda order: order.order_id != "")
# refused: call-overload | reportCallIssue
builder.add_event(paid, pivot=True)
# refused: call-overload | reportCallIssue
builder.add_event(paid, when=lambda order: True)
# refused: call-overload | reportCallIssue
builder.add_event(paid, on_unknown="park")
# refused: call-overload | reportCallIssue
builder.add_sleep(DAY, pivot=True)
# refused: call-overload | reportArgumentType
builder.add_step(paid, depends_on=reserved)
# refused: call-overload | reportCallIssue
step(paid)
# refused: arg-type | reportArgumentType
step(paid.wait)


@saga("waits")
def waits(order: StepRef[Order]) -> StepRef[Charged]:
    # refused: call-overload | reportCallIssue
    paid.wait(order)
    # refused: call-overload | reportCallIssue
    paid.wait(probe=reserve)
    # refused: call-overload | reportCallIssue
    sleep(DAY, when=lambda order: True)
    # refused: call-overload | reportArgumentType
    sleep(until="tomorrow")
    # refused: arg-type | reportReturnType
    return paid.wait(timeout=DAY, default=None)


async def tell(saga_id: UUID) -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    # refused: arg-type | reportArgumentType
    await orchestrator.to(saga_id, paid).send(Quoted(1))
    # refused: arg-type | reportArgumentType
    await orchestrator.to(saga_id, any_of(paid, quoted)).send(Quoted(1))
    # refused: arg-type | reportArgumentType
    await orchestrator.to(saga_id, paid).send(Charged("p"), expires=5)
    # refused: arg-type | reportArgumentType
    await orchestrator.register(waits).start(Order("1"), delay=5)
    # refused: arg-type | reportArgumentType
    await orchestrator.register(waits).start_many([Order("1")], delay=[DAY])
    # refused: arg-type | reportArgumentType
    await orchestrator.start_many(saga_name="waits", initial_data=[Order("1")], delay=5)


async def refund(inp: ChargeInput, out: Charged, ctx: StepContext) -> WaitFor | None:
    answer = ctx.received(quoted)
    # refused: union-attr | reportOptionalMemberAccess | cents
    print(answer.cents)
    # refused: arg-type | reportArgumentType
    return WaitFor("paid")


async def do_charge(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


# refused: typeddict-item | reportAssignmentType
options: StepOptions = {"compensation_waits_for": "paid"}
