"""What cannot be wired with the builder."""

from __future__ import annotations

from saga_fn import Attribute, SagaBuilder, SagaDefinition, StepRef
from tests.typing.shop import (
    CardCharged,
    Charged,
    ChargeInput,
    Order,
    Quoted,
    Reserved,
    ReserveInput,
    charge,
    quote,
    reserve,
)

builder = SagaBuilder(Order)
reserved = builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id))
quoted = builder.add_step(quote, depends_on=builder.initial)

customer, cents = Attribute("customer", str), Attribute("cents", int)
# refused: type-var | reportArgumentType
Attribute("shares", list)
# refused: arg-type | reportArgumentType
cents.equals("5")
# refused: misc | reportArgumentType
builder.set_attribute(customer, quoted)
# refused: arg-type | reportArgumentType
builder.set_attribute(customer, quoted, input_map=lambda q: q.cents)
# refused: attr-defined | reportAttributeAccessIssue | dollars
builder.set_attribute(cents, quoted, input_map=lambda q: q.dollars)
# refused: arg-type | reportArgumentType
SagaBuilder(Order, attributes=("customer",))

# refused: attr-defined | reportAttributeAccessIssue | customer
builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.customer))
# refused: attr-defined | reportAttributeAccessIssue | dollars
builder.add_step(charge, depends_on=reserved, input_map=lambda r: ChargeInput(r.dollars, 1))
# refused: arg-type | reportArgumentType
builder.add_step(charge, depends_on=reserved, input_map=lambda r: ReserveInput(r.reservation_id))
# refused: arg-type | reportArgumentType
builder.add_step(charge, input_map=lambda ctx: {"reservation_id": "r", "cents": 1})
# refused: arg-type | reportArgumentType
builder.add_step(charge, depends_on=(reserved, quoted), input_map=lambda r: ChargeInput(r.reservation_id, 1))
# refused: arg-type | reportArgumentType
builder.add_step(charge, depends_on=reserved, input_map=lambda r, q: ChargeInput(r.reservation_id, 1))
# refused: arg-type | reportAttributeAccessIssue
builder.add_step(charge, depends_on=(quoted, reserved), input_map=lambda r, q: ChargeInput(r.reservation_id, q.cents))
# refused: call-overload | reportArgumentType
builder.add_step(charge, depends_on=[reserved, quoted], input_map=lambda r, q: ChargeInput("", 1))
# refused: misc | reportArgumentType
builder.add_step(charge, depends_on=reserved)
# refused: call-overload | reportArgumentType
builder.add_step(charge, depends_on="reserve", input_map=lambda r: ChargeInput("", 1))
# refused: call-overload | reportCallIssue
builder.add_step(charge)
# refused: call-overload | reportCallIssue
builder.add_step(quote, depends_on=builder.initial, retries=3)
# refused: call-overload | reportArgumentType
builder.add_step(quote, depends_on=builder.initial, timeout=3)
# refused: call-overload | reportArgumentType
builder.add_step(quote, depends_on=builder.initial, after="reserve")
# refused: call-overload | reportArgumentType
builder.add_step(lambda o: o, depends_on=builder.initial)
# refused: arg-type | reportArgumentType
builder.add_step(charge, input_map=lambda ctx: ctx.output(reserved))
# refused: attr-defined | reportAttributeAccessIssue | reservation_id
reserved.reservation_id
# refused: call-overload | reportArgumentType
SagaBuilder(Order("1"))
# refused: call-overload | reportArgumentType
SagaBuilder(Order, order="random")
# refused: arg-type | reportAssignmentType
a: SagaDefinition[Order, Charged] = builder.build(output=reserved)
# refused: assignment | reportAssignmentType
b: SagaDefinition[Order, Reserved] = builder.build()
# refused: assignment | reportAssignmentType
c: SagaDefinition[Quoted, Reserved] = builder.build(output=reserved)
d: SagaDefinition[Order, object] = builder.build(output=reserved)


def narrower(ref: StepRef[Charged]) -> StepRef[CardCharged]:
    # refused: return-value | reportReturnType
    return ref


def change(definition: SagaDefinition[Order, Charged]) -> None:
    # refused: misc | reportAttributeAccessIssue
    definition.name = "other"
