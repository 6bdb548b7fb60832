"""The types and steps that the right and the wrong programs are about."""

from __future__ import annotations

from dataclasses import dataclass

from returns.result import Result, Success
from typing_extensions import override

from saga_fn import (
    NOT_DONE,
    BaseStep,
    ContextStep,
    Done,
    NotDone,
    SagaBuilder,
    SagaDefinition,
    StepContext,
    StepRef,
    saga,
    step,
)


@dataclass(frozen=True)
class Order:
    order_id: str


@dataclass(frozen=True)
class ReserveInput:
    order_id: str


@dataclass(frozen=True)
class Reserved:
    reservation_id: str


@dataclass(frozen=True)
class Quoted:
    cents: int


@dataclass(frozen=True)
class ChargeInput:
    reservation_id: str
    cents: int


@dataclass(frozen=True)
class Charged:
    payment_id: str


@dataclass(frozen=True)
class CardCharged(Charged):
    last_digits: str


async def do_reserve(inp: ReserveInput) -> Reserved:
    return Reserved(inp.order_id)


async def do_reserve_with_context(inp: ReserveInput, ctx: StepContext) -> Reserved:
    return Reserved(ctx.idempotency_key + inp.order_id)


async def release(inp: ReserveInput, out: Reserved) -> None: ...


async def release_with_context(inp: ReserveInput, out: Reserved, ctx: StepContext) -> None: ...


async def do_charge(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


async def refund(inp: ChargeInput, out: Charged) -> None: ...


async def refund_perhaps(inp: ChargeInput, out: Charged | None) -> None: ...


async def refund_perhaps_with_context(inp: ChargeInput, out: Charged | None, ctx: StepContext) -> None: ...


async def find_charge(inp: ChargeInput) -> Done[Charged] | NotDone:
    return Done(Charged(inp.reservation_id)) if inp.cents else NOT_DONE


async def find_charge_by_key(inp: ChargeInput, ctx: StepContext) -> Done[Charged] | NotDone:
    return Done(Charged(ctx.idempotency_key))


async def try_charge(inp: ChargeInput) -> Result[Charged, str]:
    return Success(Charged(inp.reservation_id))


@step(compensate=release)
async def reserve(inp: ReserveInput) -> Reserved:
    return Reserved(inp.order_id)


@step
async def quote(order: Order) -> Quoted:
    return Quoted(len(order.order_id))


@step
async def charge(inp: ChargeInput) -> Charged:
    return Charged(inp.reservation_id)


class ReserveInventory(BaseStep[ReserveInput, Reserved]):
    @override
    async def execute(self, inp: ReserveInput, /) -> Reserved:
        return Reserved(inp.order_id)

    @override
    async def compensate(self, inp: ReserveInput, out: Reserved, /) -> None: ...


class ChargeCard(ContextStep[ChargeInput, Charged]):
    @override
    async def execute(self, inp: ChargeInput, ctx: StepContext, /) -> Charged:
        return Charged(ctx.idempotency_key)


class Payments:
    async def charge(self, inp: ChargeInput, ctx: StepContext) -> Charged:
        return Charged(ctx.idempotency_key)

    async def refund(self, inp: ChargeInput, out: Charged, ctx: StepContext) -> None: ...


@saga("create_order")
def create_order(order: StepRef[Order]) -> StepRef[Charged]:
    reserved = reserve(order, using=lambda o: ReserveInput(o.order_id))
    quoted = quote(order)
    return charge(reserved, quoted, using=lambda r, q: ChargeInput(r.reservation_id, q.cents))


def built() -> tuple[SagaDefinition[Order, Charged], StepRef[Charged]]:
    builder = SagaBuilder(Order)
    reserved = builder.add_step(reserve, input_map=lambda ctx: ReserveInput(ctx.initial_data.order_id))
    charged = builder.add_step(charge, depends_on=reserved, input_map=lambda r: ChargeInput(r.reservation_id, 1))
    return builder.build(output=charged), charged
