"""Waiting for the outside world: `python -m saga_fn.examples.events`. It runs in memory; nothing has to be installed.

A large order waits to be approved, for three days at most; no answer is a rejection by itself. Then the customer is
sent an invoice, and the order waits for a payment of just that invoice. The process that hears of these sends them: a web handler,
the consumer of a queue, another process. `event_id` is the id of the message it came with, so that a message delivered
twice counts once; an event that comes before the saga waits for it is kept for it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec

from saga_fn import Event, MemoryStore, SagaOrchestrator, StepRef, any_of, saga, step


class Order(msgspec.Struct, frozen=True):
    order_id: str


class Approved(msgspec.Struct, frozen=True, tag=True):
    by: str


class Rejected(msgspec.Struct, frozen=True, tag=True):
    why: str


class Invoice(msgspec.Struct, frozen=True):
    number: str


class Payment(msgspec.Struct, frozen=True):
    cents: int


approved: Event[Approved] = Event("approved", Approved)
rejected: Event[Rejected] = Event("rejected", Rejected)
payment: Event[Payment] = Event("payment", Payment)


class NotApprovedError(Exception):
    """The order is not to be carried out: what was done for it is undone."""


async def release(inp: Order, out: str) -> None:
    print(f"  released {out}")


@step(compensate=release)
async def reserve(inp: Order) -> str:
    return f"goods of {inp.order_id}"


@step(give_up_on=NotApprovedError)
async def invoice(answer: Approved | Rejected) -> Invoice:
    if isinstance(answer, Rejected):
        raise NotApprovedError(answer.why)
    return Invoice("invoice-7")


@step
async def ship(paid: Payment) -> str:
    return f"shipped, {paid.cents} cents paid"


@saga("large_order")
def large_order(order: StepRef[Order]) -> StepRef[str]:
    reserve(order)
    answer = any_of(approved, rejected).wait(timeout=timedelta(days=3), default=Rejected("nobody answered"))
    sent = invoice(answer)
    paid = payment.wait(sent, correlate=lambda invoice: invoice.number, timeout=timedelta(days=14))
    return ship(paid)


async def main() -> None:
    """Tell of an order that is paid, one that is rejected, and one without an answer."""
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        orders = orchestrator.register(large_order)
        one = await orders.start(Order("order-1"))
        await orchestrator.to(one.id, approved).send(
            Approved("ann"), event_id="m1"
        )  # accepted, or buffered if it is early
        print("the same message again:", await orchestrator.to(one.id, approved).send(Approved("ann"), event_id="m1"))
        to = orchestrator.to(one.id, payment)
        await to.send(Payment(1), correlation_id="invoice-6")  # of another invoice: it is not taken
        await to.send(Payment(4200), correlation_id="invoice-7")
        print("order-1:", await one.result())

        other = await orders.start(Order("order-2"))
        await orchestrator.to(other.id, rejected).send(Rejected("too dear"))
        print("order-2:", type(await other.outcome()).__name__)

    unattended = SagaOrchestrator(MemoryStore())  # as in a test of one's own: its clock jumps over the three days
    third = await unattended.register(large_order).start(Order("order-3"))
    await unattended.run_until_idle(past_waits=True)
    print("order-3:", type(await third.outcome()).__name__)


if __name__ == "__main__":
    asyncio.run(main())
