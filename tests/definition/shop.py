"""The types and steps that the tests of definitions share."""

from __future__ import annotations

import msgspec
from typing_extensions import override

from saga_fn import BaseStep, ContextStep, StepContext, step


class Order(msgspec.Struct, frozen=True):
    order_id: str
    cents: int = 100


class ReserveInput(msgspec.Struct, frozen=True):
    order_id: str


class Reserved(msgspec.Struct, frozen=True):
    reservation_id: str


class ChargeInput(msgspec.Struct, frozen=True):
    reservation_id: str
    cents: int = 100


class Charged(msgspec.Struct, frozen=True):
    payment_id: str


async def release(inp: ReserveInput, out: Reserved) -> None:
    pass


@step(compensate=release)
async def reserve(inp: ReserveInput) -> Reserved:
    return Reserved(f"r-{inp.order_id}")


@step
async def charge(inp: ChargeInput) -> Charged:
    return Charged(f"p-{inp.reservation_id}-{inp.cents}")


@step
async def price(order: Order) -> int:
    return order.cents


class ReserveInventory(BaseStep[ReserveInput, Reserved]):
    @override
    async def execute(self, inp: ReserveInput, /) -> Reserved:
        return Reserved(inp.order_id)

    @override
    async def compensate(self, inp: ReserveInput, out: Reserved, /) -> None:
        pass


class ChargeCard(ContextStep[ChargeInput, Charged]):
    @override
    async def execute(self, inp: ChargeInput, ctx: StepContext, /) -> Charged:
        return Charged(f"{inp.reservation_id}-{ctx.attempt}")
