"""What a step that may not be taken, or is done for each item, does not allow, and what cannot be said of branches."""

from __future__ import annotations

from saga_fn import SagaBuilder, StepRef, saga, step
from tests.typing.shop import Charged, ChargeInput, Order, Quoted, Reserved, ReserveInput, charge, quote, reserve


@step
async def file(quoted: Quoted) -> Charged:
    return Charged(str(quoted.cents))


async def slow(order: Order) -> bool:
    return True


# refused: arg-type | reportArgumentType
quote.when(slow)
# refused: return-value | reportArgumentType
quote.when(lambda order: len(order.order_id))
# refused: attr-defined | reportAttributeAccessIssue | cents
quote.when(lambda order: order.cents > 0)
# refused: call-overload | reportArgumentType
SagaBuilder(Order, siblings_on_failure="stop")
# refused: arg-type | reportArgumentType
saga("stopped", siblings_on_failure="stop")


@saga("wiring")
def wiring(order: StepRef[Order]) -> StepRef[Charged]:
    quoted = quote.when(lambda o: o.order_id != "")(order)
    reserved = reserve(order, using=lambda o: ReserveInput(o.order_id))
    # refused: arg-type | reportArgumentType
    file(quoted)
    # refused: union-attr | reportOptionalMemberAccess | cents
    charge(reserved, quoted, using=lambda r, q: ChargeInput(r.reservation_id, q.cents))
    maybe = charge.when(lambda c: c.cents > 0)(reserved, using=lambda r: ChargeInput(r.reservation_id, 1))
    # refused: return-value | reportReturnType
    return maybe


builder = SagaBuilder(Order)
quoted = builder.add_step(quote.when(lambda o: o.order_id != ""), depends_on=builder.initial)
# refused: union-attr | reportOptionalMemberAccess | cents
builder.add_step(charge, depends_on=quoted, input_map=lambda q: ChargeInput("", q.cents))
# refused: union-attr | reportOptionalMemberAccess | cents
builder.add_step(charge, step_id="2", input_map=lambda ctx: ChargeInput("", ctx.output(quoted).cents))


def kept(ref: StepRef[Reserved]) -> None: ...


held = builder.add_step(
    reserve.when(lambda r: r.order_id != ""), input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id)
)
# refused: arg-type | reportArgumentType
kept(held)

# refused: call-arg | reportCallIssue
charge.each()
# refused: arg-type | reportArgumentType
charge.each(concurrency="3")
# refused: call-arg | reportCallIssue
charge.each(3)


@saga("lists")
def lists(order: StepRef[Order]) -> StepRef[Charged]:
    # refused: arg-type | reportArgumentType
    quote.each(concurrency=2)(order)
    quotes = quote.each(concurrency=2)(order, using=lambda o: [o], step_id="quotes")
    # refused: arg-type | reportArgumentType
    file(quotes)
    # refused: attr-defined | reportAttributeAccessIssue | cents
    charge(quotes, using=lambda q: ChargeInput("", q.cents))
    # refused: arg-type | reportArgumentType
    charge.each(concurrency=2)(quotes, using=lambda q: q)
    paid = charge.each(concurrency=2)(quotes, using=lambda found: [ChargeInput("", one.cents) for one in found])
    # refused: return-value | reportReturnType
    return paid
