"""What cannot be traced."""

from __future__ import annotations

from saga_fn import StepRef, saga
from tests.typing.shop import Charged, ChargeInput, Order, Reserved, ReserveInput, charge, quote, reserve


@saga("wiring")
def wiring(order: StepRef[Order]) -> StepRef[Reserved]:
    reserved = reserve(order, using=lambda o: ReserveInput(o.order_id))
    quoted = quote(order)
    # refused: arg-type | reportArgumentType
    reserve(order)
    # refused: attr-defined | reportAttributeAccessIssue | customer
    reserve(order, using=lambda o: ReserveInput(o.customer))
    # refused: arg-type | reportArgumentType
    charge(reserved, using=lambda r: ReserveInput(r.reservation_id))
    # refused: arg-type | reportArgumentType
    charge(reserved, quoted, using=lambda r: ChargeInput(r.reservation_id, 1))
    # refused: attr-defined | reportAttributeAccessIssue | reservation_id
    charge(reserved, quoted, using=lambda q, r: ChargeInput(r.reservation_id, q.cents))
    # refused: call-overload | reportArgumentType
    charge((reserved, quoted), using=lambda r, q: ChargeInput(r.reservation_id, q.cents))
    # refused: call-overload | reportCallIssue
    charge(reserved, quoted)
    # refused: call-overload | reportArgumentType
    quote(Order("1"))
    # refused: call-overload | reportCallIssue
    quote(order, retries=3)
    # refused: return-value | reportReturnType
    return quoted


# refused: arg-type | reportArgumentType
@saga("plain")
def plain(order: Order) -> StepRef[Charged]:
    raise NotImplementedError


# refused: arg-type | reportArgumentType
@saga("value")
def value(order: StepRef[Order]) -> Charged:
    raise NotImplementedError


# refused: arg-type | reportArgumentType
@saga("asynchronous")
async def asynchronous(order: StepRef[Order]) -> StepRef[Charged]:
    raise NotImplementedError


# refused: arg-type | reportArgumentType
@saga("two")
def two(order: StepRef[Order], other: StepRef[Order]) -> None: ...


# refused: arg-type | reportArgumentType
@saga
def unnamed(order: StepRef[Order]) -> None: ...
