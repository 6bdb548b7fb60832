"""Events, waits and sleeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import assert_type
from uuid import UUID

from returns.result import Result

from saga_fn import (
    Delivery,
    Event,
    EventSender,
    MemoryStore,
    SagaBuilder,
    SagaDefinition,
    SagaError,
    SagaOrchestrator,
    SagaRun,
    Step,
    StepContext,
    StepRef,
    WaitFor,
    any_of,
    saga,
    sleep,
    step,
)
from tests.typing.shop import Charged, ChargeInput, Order, Quoted, Reserved, ReserveInput, charge, quote, reserve

DAY = timedelta(days=1)

paid = Event("paid", Charged)
quoted = Event("quoted", Quoted)
either = Event[Charged | Quoted]("either")
assert_type(paid, Event[Charged])
assert_type(either, Event[Charged | Quoted])

builder = SagaBuilder(Order, deadline=7 * DAY)
reserved = builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id))
assert_type(builder.add_event(paid, timeout=DAY), StepRef[Charged])
assert_type(builder.add_event(paid, timeout=DAY, default=Charged("none"), step_id="b"), StepRef[Charged])
assert_type(builder.add_event(paid, timeout=DAY, default=None, step_id="c"), StepRef[Charged | None])
assert_type(builder.add_event(either, timeout=DAY), StepRef[Charged | Quoted])
assert_type(builder.add_event(any_of(paid, quoted), timeout=DAY, step_id="d"), StepRef[Charged | Quoted])
assert_type(
    builder.add_event(
        paid, depends_on=reserved, correlate=lambda r: r.reservation_id, timeout=DAY, after=reserved, step_id="e"
    ),
    StepRef[Charged],
)
assert_type(
    builder.add_event(quoted, correlate=lambda ctx: ctx.initial_data.order_id, timeout=DAY, default=None),
    StepRef[Quoted | None],
)
assert_type(builder.add_sleep(DAY), StepRef[None])
builder.add_sleep(until=reserved, input_map=lambda r: datetime.fromisoformat(r.reservation_id), step_id="f")


@saga("waits", deadline=7 * DAY)
def waits(order: StepRef[Order]) -> StepRef[Charged]:
    held = reserve(order, using=lambda o: ReserveInput(o.order_id))
    assert_type(held, StepRef[Reserved])
    answer = paid.wait(held, correlate=lambda r: r.reservation_id, timeout=DAY)
    assert_type(answer, StepRef[Charged])
    assert_type(paid.wait(timeout=DAY, default=None, step_id="again"), StepRef[Charged | None])
    assert_type(any_of(paid, quoted).wait(timeout=DAY, step_id="either"), StepRef[Charged | Quoted])
    assert_type(sleep(DAY, after=answer), StepRef[None])
    sleep(until=held, using=lambda r: datetime.fromisoformat(r.reservation_id), step_id="until")
    quote(order)
    return charge(answer, using=lambda a: ChargeInput(a.payment_id, 1))


assert_type(waits, SagaDefinition[Order, Charged])


async def tell(saga_id: UUID) -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    handle = orchestrator.register(waits)
    run = await handle.start(Order("1"), delay=DAY)
    assert_type(await handle.start_many([Order("1")], delay=DAY), list[SagaRun[Charged]])
    assert_type(await orchestrator.start_many(saga_name="waits", initial_data=[Order("1")], delay=DAY), list[UUID])
    to = orchestrator.to(run.id, paid)
    assert_type(to, EventSender[Charged])
    assert_type(await to.send(Charged("p"), event_id="m1", correlation_id="r", expires=DAY), Delivery)
    assert_type(await to.send(Charged("p"), keep=False), Delivery)
    many: list[tuple[UUID | tuple[str, str], Charged]] = [(run.id, Charged("p")), (("waits", "key"), Charged("q"))]
    assert_type(
        await orchestrator.send_many(paid, many, event_id=lambda charged: charged.payment_id, expires=DAY),
        list[Result[Delivery, SagaError]],
    )
    await orchestrator.to(saga_id, either).send(Quoted(1), expires=datetime.now(UTC) + DAY)


async def refund(inp: ChargeInput, out: Charged, ctx: StepContext) -> WaitFor | None:
    answer = ctx.received(paid)
    assert_type(answer, Charged | None)
    return WaitFor(paid, timeout=DAY, correlation_id=out.payment_id) if answer is None else None


async def do_charge(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


assert_type(step(do_charge, compensate=refund, compensation_waits_for=paid), Step[ChargeInput, Charged])


@step(compensate=refund, compensation_waits_for=paid)
async def pay(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


async def refund_perhaps(inp: ChargeInput, out: Charged | None, ctx: StepContext) -> WaitFor | None:
    return None if ctx.received(paid) else WaitFor(paid)


@step(compensate=refund_perhaps, compensation_waits_for=paid, on_unknown="undo")
async def pay_once(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


assert_type(pay, Step[ChargeInput, Charged])
assert_type(pay_once, Step[ChargeInput, Charged])
