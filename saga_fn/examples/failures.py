"""Failures that mean something: `python -m saga_fn.examples.failures`. It runs in memory; nothing has to be installed.

An order is paid and shipped. The step says what a failure means:

- a declined card is an answer: `Failure(Declined(...))`, or raising what `give_up_on` names. It is not tried again; the
  saga is rolled back, and the caller who awaits it gets the business error itself;
- a bank that does not answer is tried again: what `retry_on` names, for at most so often, and at most so long;
- once the money is taken (`pivot=True`) nothing is undone any more: a parcel that cannot be sent waits for a person.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from datetime import timedelta

import msgspec
from returns.result import Failure, Result, Success

from saga_fn import (
    Compensated,
    Completed,
    ExponentialRetry,
    Failed,
    MemoryStore,
    SagaAdmin,
    SagaHandle,
    SagaOrchestrator,
    StepRef,
    saga,
    step,
)


class Order(msgspec.Struct, frozen=True):
    order_id: str
    card: str = "good"
    address: str = "known"


class Reservation(msgspec.Struct, frozen=True):
    reservation_id: str


class Payment(msgspec.Struct, frozen=True):
    payment_id: str


class Parcel(msgspec.Struct, frozen=True):
    parcel_id: str


class Declined(msgspec.Struct, frozen=True):
    """Why a card was declined: a business error as a value."""

    reason: str
    may_try_again: bool


class BankAwayError(Exception):
    """The bank does not answer, for now."""


@dataclasses.dataclass
class UnknownAddressError(Exception):
    """The carrier does not deliver there: a business error as an exception, kept with its fields."""

    address: str


async def release(order: Order, out: Reservation) -> None:
    print(f"  released {out.reservation_id}")


@step(compensate=release)
async def reserve(order: Order) -> Reservation:
    return Reservation(f"reservation-of-{order.order_id}")


@step(
    pivot=True,
    retry_on=BankAwayError,
    retry_policy=ExponentialRetry(base_delay=timedelta(milliseconds=10), within=timedelta(seconds=2)),
)
async def charge(order: Order) -> Result[Payment, Declined]:
    if order.card == "stolen":
        return Failure(Declined("reported as stolen", may_try_again=False))
    if order.card == "slow" and not next(bank_answers):
        raise BankAwayError("no answer")
    return Success(Payment(f"payment-of-{order.order_id}"))


@step(give_up_on=UnknownAddressError)
async def ship(order: Order) -> Parcel:
    if order.address == "unknown":
        raise UnknownAddressError(order.address)
    return Parcel(f"parcel-of-{order.order_id}")


bank_answers: Iterator[bool] = iter([False, False, True])


@saga("sell")
def sell(order: StepRef[Order]) -> StepRef[Parcel]:
    reserve(order)
    charge(order)
    return ship(order)


async def tell(orders: SagaHandle[Order, Parcel], order: Order) -> None:
    run = await orders.start(order)
    match await run.outcome(timeout=10):
        case Completed(result=parcel):
            print(f"{order.order_id}: {parcel.parcel_id}")
        case Compensated(failure=failure) | Failed(failure=failure):
            match None if failure is None else failure.error:
                case Declined(reason=reason):
                    print(f"{order.order_id}: declined, {reason}")
                case other:
                    print(f"{order.order_id}: {failure}, {other}")


async def main() -> None:
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        orders = orchestrator.register(sell)
        await tell(orders, Order("order-1"))
        await tell(orders, Order("order-2", card="slow"))
        await tell(orders, Order("order-3", card="stolen"))

        # Past the pivot there is no way back, so a person decides.
        admin = SagaAdmin(orchestrator, actor="ann@shop")
        run = await orders.start(Order("order-4", address="unknown"))
        await orchestrator.run_until_idle()
        seen = await admin.get_saga(run.id)
        assert seen.failure is not None
        print(f"order-4: {seen.parked} at {seen.current_step_id}: {seen.failure.error!r}")
        parcel = Parcel("fetched by the customer")
        await admin.skip_step(run.id, "ship", parcel, expect=seen.revision, reason="the customer called")
        print(f"order-4: {(await run.result(timeout=10)).parcel_id}")


if __name__ == "__main__":
    asyncio.run(main())
