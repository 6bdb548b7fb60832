"""What cannot be a step."""

from __future__ import annotations

from datetime import timedelta

from saga_fn import BaseStep, Done, NotDone, ExponentialRetry, FixedRetry, StepContext, step
from tests.typing.shop import (
    Charged,
    ChargeInput,
    Order,
    Payments,
    Reserved,
    ReserveInput,
    ReserveInventory,
    do_charge,
    do_reserve,
    find_charge,
    refund,
    refund_perhaps,
    release,
    reserve,
)


def not_async(inp: Order) -> Charged:
    return Charged(inp.order_id)


async def two_inputs(inp: Order, other: int) -> Charged:
    return Charged(inp.order_id + str(other))


async def context_first(ctx: StepContext, inp: Order) -> Charged:
    return Charged(inp.order_id + ctx.trace_id)


async def undo_one(inp: ReserveInput) -> None: ...


async def find_nothing(inp: ChargeInput) -> Charged | None:
    return None


async def find_reserved(inp: ChargeInput) -> Done[Reserved] | NotDone:
    return Done(Reserved(inp.reservation_id))


def undo_not_async(inp: ReserveInput, out: Reserved) -> None: ...


# refused: arg-type | reportArgumentType
step(not_async)
# refused: arg-type | reportArgumentType
step(two_inputs)
# refused: arg-type | reportArgumentType
step(context_first)
# refused: misc | reportArgumentType
step(do_reserve, compensate=refund)
# refused: arg-type | reportArgumentType
step(do_reserve, compensate=undo_one)
# refused: arg-type | reportArgumentType
step(do_reserve, compensate=undo_not_async)
# refused: arg-type | reportArgumentType
step(compensate=release)(do_charge)
# refused: arg-type | reportArgumentType
step(Payments.charge)
# refused: arg-type | reportArgumentType
step(ReserveInventory)
# refused: call-overload | reportArgumentType
step(ReserveInventory(), compensate=release)
# refused: call-overload | reportArgumentType
step(do_reserve, timeout=5)
# refused: call-overload | reportCallIssue
step(do_reserve, retries=3)
# refused: call-overload | reportArgumentType
step(do_reserve, pivot="yes")
# refused: call-overload | reportArgumentType
step(do_reserve, on_unknown="forget")
# refused: call-overload | reportCallIssue
step(do_reserve, on_unknown="undo")
# refused: call-overload | reportArgumentType
step(do_reserve, compensate=release, on_unknown="undo")
# refused: arg-type | reportArgumentType
step(do_charge, probe=find_nothing)
# refused: misc | reportArgumentType
step(do_charge, probe=find_reserved)
# refused: misc | reportArgumentType
step(do_reserve, probe=find_charge)
# refused: call-overload | reportArgumentType
step(do_reserve, retry_on="TimeoutError")
# refused: call-overload | reportArgumentType
step(do_reserve, give_up_on=[ValueError])
# refused: call-overload | reportArgumentType
step(do_reserve, unknown_on="TimeoutError")
# refused: arg-type | reportArgumentType
FixedRetry(max_attempts=3, within=5)
# refused: call-overload | reportArgumentType
step(do_reserve, retry_policy=3)
# refused: call-overload | reportArgumentType
step(do_reserve, unknown_retry_policy=3)
# refused: call-overload | reportArgumentType
step(do_reserve, on_undo_failed="stop")
# refused: call-overload | reportArgumentType
step(do_reserve, business_error_settles="yes")
# refused: arg-type | reportArgumentType
FixedRetry(max_attempts="3")
# refused: arg-type | reportArgumentType
ExponentialRetry(max_attempts=3, base_delay=5)
# refused: call-overload | reportArgumentType
step(do_reserve, timeout=timedelta(seconds=1), step_id=7)


# refused: arg-type | reportArgumentType
@step(compensate=refund_perhaps)
async def reserve_other(inp: ChargeInput) -> Reserved:
    return Reserved(inp.reservation_id)


# refused: arg-type | reportArgumentType
@step(compensate=refund)
async def charge_nothing(inp: ChargeInput) -> Charged | None:
    return None


# refused: arg-type | reportArgumentType
@step(compensate=refund)
async def charge_other(inp: Order) -> Charged:
    return Charged(inp.order_id)


class WrongExecute(BaseStep[ReserveInput, Reserved]):
    # refused: override | reportIncompatibleMethodOverride
    async def execute(self, inp: ChargeInput, /) -> Reserved:
        return Reserved(inp.reservation_id)


class WrongOutput(BaseStep[ReserveInput, Reserved]):
    # refused: override | reportIncompatibleMethodOverride
    async def execute(self, inp: ReserveInput, /) -> Charged:
        return Charged(inp.order_id)


class WrongUndo(BaseStep[ReserveInput, Reserved]):
    async def execute(self, inp: ReserveInput, /) -> Reserved:
        return Reserved(inp.order_id)

    # refused: override | reportIncompatibleMethodOverride
    async def compensate(self, inp: ReserveInput, out: Charged, /) -> None: ...


class NoExecute(BaseStep[ReserveInput, Reserved]): ...


# refused: abstract | reportAbstractUsage
NoExecute()


async def isolated() -> None:
    # refused: arg-type | reportArgumentType
    await reserve.execute(Order("1"))
    # refused: attr-defined | reportAttributeAccessIssue | cents
    (await reserve.execute(ReserveInput("1"))).cents
