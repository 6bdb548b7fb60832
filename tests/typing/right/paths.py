"""Graphs, conditional steps and fan-outs: what is not taken is None in the types, and a list is a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

from saga_fn import InputContext, SagaBuilder, SagaDefinition, Step, StepRef, StepSnapshot, StepStatus, saga, step
from tests.typing.shop import (
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

assert_type(charge.when(lambda inp: inp.cents > 0), Step[ChargeInput, Charged | None])
assert_type(step(ReserveInventory()).when(lambda inp: bool(inp.order_id)), Step[ReserveInput, Reserved | None])


def is_dear(order: Order) -> bool:
    return len(order.order_id) > 3


@saga("paths", order="graph", siblings_on_failure="cancel")
def paths(order: StepRef[Order]) -> StepRef[Charged | None]:
    quoted = quote.when(is_dear)(order)
    assert_type(quoted, StepRef[Quoted | None])
    held = reserve(order, using=lambda o: ReserveInput(o.order_id))
    paid = charge.when(lambda inp: inp.cents > 0)(
        held, quoted, using=lambda h, q: ChargeInput(h.reservation_id, 0 if q is None else q.cents)
    )
    assert_type(paid, StepRef[Charged | None])
    return paid


assert_type(paths, SagaDefinition[Order, Charged | None])

builder = SagaBuilder(Order, order="graph", siblings_on_failure="await")
quoted = builder.add_step(quote.when(is_dear), depends_on=builder.initial)
assert_type(quoted, StepRef[Quoted | None])


def total(ctx: InputContext[Order]) -> ChargeInput:
    found = ctx.output(quoted)
    assert_type(found, Quoted | None)
    return ChargeInput(ctx.initial_data.order_id, 0 if found is None else found.cents)


charged = builder.add_step(charge, input_map=total, after=quoted)
assert_type(charged, StepRef[Charged])
assert_type(builder.build(output=quoted), SagaDefinition[Order, Quoted | None])


assert_type(charge.each(concurrency=3), Step[Sequence[ChargeInput], list[Charged]])
assert_type(step(ReserveInventory()).each(concurrency=1), Step[Sequence[ReserveInput], list[Reserved]])
assert_type(
    charge.each(concurrency=3).when(lambda inputs: len(inputs) > 0), Step[Sequence[ChargeInput], list[Charged] | None]
)


@step
async def split(order: Order) -> list[Order]:
    return [order, order]


@step
async def add_up(quotes: list[Quoted]) -> Quoted:
    return Quoted(sum(one.cents for one in quotes))


@saga("many")
def many(order: StepRef[Order]) -> StepRef[list[Charged]]:
    orders = split(order)
    quotes = quote.each(concurrency=2)(orders, using=lambda found: found)
    assert_type(quotes, StepRef[list[Quoted]])
    total = add_up(quotes)
    return charge.each(concurrency=3)(
        quotes, total, using=lambda found, all_of: [ChargeInput("", one.cents + all_of.cents) for one in found]
    )


assert_type(many, SagaDefinition[Order, list[Charged]])

each_builder = SagaBuilder(Order)
each_quote = each_builder.add_step(quote.each(concurrency=2), input_map=lambda ctx: [ctx.initial_data])
assert_type(each_quote, StepRef[list[Quoted]])
added = each_builder.add_step(add_up, depends_on=each_quote)
assert_type(added, StepRef[Quoted])


def shown(snapshot: StepSnapshot) -> None:
    assert_type(snapshot.status, StepStatus)


async def isolated() -> None:
    assert_type(await quote.when(is_dear).execute(Order("1")), Quoted | None)
    assert_type(await quote.each(concurrency=1).execute([Order("1")]), list[Quoted])
