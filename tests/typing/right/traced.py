"""Sagas as functions of their data flow."""

from __future__ import annotations

from typing import assert_type

from saga_fn import SagaDefinition, StepRef, saga, step
from tests.typing.shop import (
    Charged,
    ChargeInput,
    Order,
    Payments,
    Quoted,
    Reserved,
    ReserveInput,
    ReserveInventory,
    charge,
    create_order,
    quote,
    reserve,
)

assert_type(create_order, SagaDefinition[Order, Charged])


@saga("quiet", order="graph", compensate_on_failure=False)
def quiet(order: StepRef[Order]) -> None:
    reserved = reserve(order, using=lambda o: ReserveInput(o.order_id))
    assert_type(reserved, StepRef[Reserved])
    quoted = quote(order, after=reserved, step_id="quote_after")
    assert_type(quoted, StepRef[Quoted])


assert_type(quiet, SagaDefinition[Order, None])


@saga("echo")
def echo(order: StepRef[Order]) -> StepRef[Order]:
    quote(order)
    return order


assert_type(echo, SagaDefinition[Order, Order])


def make(payments: Payments) -> SagaDefinition[Order, Charged]:
    pay = step(payments.charge, compensate=payments.refund)
    hold = step(ReserveInventory())

    @saga("made")
    def made(order: StepRef[Order]) -> StepRef[Charged]:
        held = hold(order, using=lambda o: ReserveInput(o.order_id), timeout=None)
        quoted = quote(order)
        first = charge(held, using=lambda h: ChargeInput(h.reservation_id, 1))
        three = pay(
            order, held, quoted, using=lambda o, h, q: ChargeInput(o.order_id + h.reservation_id, q.cents), step_id="3"
        )
        four = pay(
            order,
            held,
            quoted,
            first,
            using=lambda o, h, q, f: ChargeInput(o.order_id + h.reservation_id + f.payment_id, q.cents),
            step_id="4",
        )
        assert_type(four, StepRef[Charged])
        return pay(
            order,
            held,
            quoted,
            three,
            four,
            using=lambda o, h, q, t, f: ChargeInput(
                o.order_id + h.reservation_id + t.payment_id, q.cents + len(f.payment_id)
            ),
            step_id="5",
        )

    return made
