"""Every way to wire with the builder: each lambda is inferred, and so is the definition."""

from __future__ import annotations

from typing import Any, assert_type

from saga_fn import Attribute, HasValue, InputContext, SagaBuilder, SagaDefinition, StepRef
from tests.typing.shop import (
    CardCharged,
    ChargeCard,
    Charged,
    ChargeInput,
    Order,
    Quoted,
    Reserved,
    ReserveInput,
    ReserveInventory,
    charge,
    quote,
    reserve,
)

builder = SagaBuilder(Order)
assert_type(builder, SagaBuilder[Order])

customer, cents = Attribute("customer", str), Attribute("cents", int)
assert_type(customer, Attribute[str])
assert_type(cents.between(1, 5), HasValue)
searched = SagaBuilder(Order, attributes=(customer, cents))
searched.set_attribute(customer, searched.initial, input_map=lambda order: order.order_id)
searched.set_attribute(cents, searched.add_step(quote, depends_on=searched.initial), input_map=lambda q: q.cents)
assert_type(builder.initial, StepRef[Order])

reserved = builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id))
assert_type(reserved, StepRef[Reserved])
quoted = builder.add_step(quote, depends_on=builder.initial)
assert_type(quoted, StepRef[Quoted])
one = builder.add_step(charge, depends_on=reserved, input_map=lambda r: ChargeInput(r.reservation_id, 1))
assert_type(one, StepRef[Charged])
two = builder.add_step(
    charge,
    depends_on=(reserved, quoted),
    input_map=lambda r, q: ChargeInput(r.reservation_id, q.cents),
    step_id="two",
)
assert_type(two, StepRef[Charged])
three = builder.add_step(
    charge,
    depends_on=(builder.initial, reserved, quoted),
    input_map=lambda o, r, q: ChargeInput(o.order_id + r.reservation_id, q.cents),
    step_id="three",
)
assert_type(three, StepRef[Charged])
four = builder.add_step(
    charge,
    depends_on=(builder.initial, reserved, quoted, one),
    input_map=lambda o, r, q, c: ChargeInput(o.order_id + r.reservation_id + c.payment_id, q.cents),
    step_id="four",
)
assert_type(four, StepRef[Charged])
five = builder.add_step(
    charge,
    depends_on=(builder.initial, reserved, quoted, one, two),
    input_map=lambda o, r, q, c, d: ChargeInput(o.order_id + r.reservation_id + c.payment_id + d.payment_id, q.cents),
    step_id="five",
    timeout=None,
)
assert_type(five, StepRef[Charged])
from_context = builder.add_step(
    charge,
    input_map=lambda ctx: ChargeInput(ctx.output(reserved).reservation_id, ctx.output(quoted).cents),
    step_id="from_context",
)
assert_type(from_context, StepRef[Charged])
by_class = builder.add_step(
    step=ReserveInventory(), input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id), after=quoted
)
assert_type(by_class, StepRef[Reserved])
by_context_class = builder.add_step(
    step=ChargeCard(), depends_on=by_class, input_map=lambda r: ChargeInput(r.reservation_id, 1), after=(one, two)
)
assert_type(by_context_class, StepRef[Charged])
assert_type(builder.build(output=five), SagaDefinition[Order, Charged])

paid = SagaBuilder(Order)
paid.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id))
assert_type(paid.add_step(quote, depends_on=paid.initial, pivot=True), StepRef[Quoted])

quiet = SagaBuilder(Order, order="graph", compensate_on_failure=False)
quiet.add_step(quote, depends_on=quiet.initial)
assert_type(quiet.build(), SagaDefinition[Order, None])

untyped = SagaBuilder()
assert_type(untyped, SagaBuilder[dict[str, Any]])  # Any: the saga's data has no declared type, by choice
untyped.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data["order_id"]))

numbers = SagaBuilder(list[int])
assert_type(numbers.initial, StepRef[list[int]])
assert_type(numbers.build(output=numbers.initial), SagaDefinition[list[int], list[int]])


def named_map(ctx: InputContext[Order]) -> ReserveInput:
    assert_type(ctx.initial_data, Order)
    assert_type(ctx.output(reserved), Reserved)
    return ReserveInput(ctx.initial_data.order_id)


assert_type(SagaBuilder(Order).add_step(reserve, input_map=named_map), StepRef[Reserved])


def wider(ref: StepRef[CardCharged]) -> StepRef[Charged]:
    return ref  # covariant: what gives a CardCharged gives a Charged


def many(orders: list[str]) -> SagaDefinition[Order, None]:
    looped = SagaBuilder(Order)
    for name in orders:
        looped.add_step(quote, depends_on=looped.initial, step_id=name)
    return looped.build()
