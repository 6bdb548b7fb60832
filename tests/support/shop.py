"""A small saga for tests of the engine: three steps that write down what is done to them, and fail when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import cast

import attrs
import msgspec

from saga_fn import (
    ExponentialRetry,
    FixedRetry,
    NoRetry,
    SagaBuilder,
    SagaDefinition,
    StepContext,
    StepOptions,
    step,
)


class Order(msgspec.Struct, frozen=True):
    order_id: str
    amount: int = 1


class Done(msgspec.Struct, frozen=True):
    what: str


class ShopError(Exception):
    """Something in the shop went wrong."""


@attrs.define
class Shop:
    """What the steps did, and how they shall behave. `fails` says how often a step raises before it succeeds.

    The step `held` waits for `hold` whenever it runs.
    """

    done: list[str] = attrs.field(factory=list)
    keys: list[str] = attrs.field(factory=list)
    fails: dict[str, int] = attrs.field(factory=dict)
    hold: asyncio.Event | None = None
    held: str = "charge"
    returns: Callable[[str], object] = Done

    async def _do(self, what: str, key: str) -> Done:
        self.keys.append(key)
        if self.fails.get(what, 0) > 0:
            self.fails[what] -= 1
            raise ShopError(f"{what} failed")
        if what == self.held and self.hold is not None:
            await self.hold.wait()
        self.done.append(what)
        return cast("Done", self.returns(what))  # a wrong type is what some tests want

    @property
    def begun(self) -> list[str]:
        """The ids of the steps that were begun, in order."""
        return [key.split(":")[1] for key in self.keys]

    async def reserve(self, inp: Order, ctx: StepContext) -> Done:
        return await self._do("reserve", ctx.idempotency_key)

    async def charge(self, inp: Order, ctx: StepContext) -> Done:
        return await self._do("charge", ctx.idempotency_key)

    async def ship(self, inp: Order, ctx: StepContext) -> Done:
        return await self._do("ship", ctx.idempotency_key)

    async def release(self, inp: Order, out: Done, ctx: StepContext) -> None:
        await self._do(f"release {out.what}", ctx.idempotency_key)

    async def refund(self, inp: Order, out: Done, ctx: StepContext) -> None:
        await self._do(f"refund {out.what}", ctx.idempotency_key)


def make_saga(
    shop: Shop,
    *,
    retry: NoRetry | FixedRetry | ExponentialRetry | None = None,
    undo: FixedRetry | None = None,
    timeout: timedelta | None = None,
    compensate_on_failure: bool = True,
    deadline: timedelta | None = None,
) -> SagaDefinition[Order, Done]:
    """Reserve, charge, ship; the first two can be undone."""
    policy = NoRetry() if retry is None else retry
    undo = FixedRetry(max_attempts=2) if undo is None else undo
    builder = SagaBuilder(Order, compensate_on_failure=compensate_on_failure, deadline=deadline)
    builder.add_step(
        step(shop.reserve, compensate=shop.release, compensation_retry_policy=undo),
        input_map=lambda ctx: ctx.initial_data,
        retry_policy=policy,
    )
    builder.add_step(
        step(shop.charge, compensate=shop.refund, compensation_retry_policy=undo),
        input_map=lambda ctx: ctx.initial_data,
        retry_policy=policy,
        unknown_retry_policy=policy,
        timeout=timeout,
    )
    shipped = builder.add_step(step(shop.ship), input_map=lambda ctx: ctx.initial_data, retry_policy=policy)
    return builder.build(output=shipped)


def one_step(
    work: Callable[[Order], Awaitable[Done]], options: StepOptions | None = None
) -> SagaDefinition[Order, Done]:
    """A saga of one step."""
    builder = SagaBuilder(Order)
    only = builder.add_step(step(work), depends_on=builder.initial, **(options or {}))
    return builder.build(output=only)


@attrs.define
class Counted:
    """A step that counts how often it was begun, by order, and takes `seconds` (None: until it is cut short)."""

    seconds: float | None = 0.0
    begun: list[str] = attrs.field(factory=list)

    async def work(self, inp: Order) -> Done:
        self.begun.append(inp.order_id)
        if self.seconds is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self.seconds)
        return Done(inp.order_id)
