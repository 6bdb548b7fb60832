"""Undoing that takes its time: `python -m saga_fn.examples.waiting_undo`. It runs in memory; nothing has to be installed.

A ticket is paid, and then there is no seat: the money has to come back. The bank takes a request to give it back at once,
and says days later whether it has. So the compensation is called twice: first it asks, and returns what it waits for; when
that has come, or came before, it is called again, and `ctx.received` has it. In between nothing waits in a process.

- a yes ends the compensation, and the saga is COMPENSATED;
- a no is an exception, as any failure to undo is: the saga is FAILED in the end, and lists what is left over;
- when no answer comes in time the attempt has failed. It is made again, as often as its policy says: the bank is asked once
  more, under the same idempotency key.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec

from saga_fn import (
    Event,
    Failed,
    FixedRetry,
    MemoryStore,
    SagaOrchestrator,
    SagaRun,
    StepContext,
    StepRef,
    WaitFor,
    saga,
    step,
)


class Order(msgspec.Struct, frozen=True):
    order_id: str


class Payment(msgspec.Struct, frozen=True):
    payment_id: str


class Refund(msgspec.Struct, frozen=True):
    accepted: bool


refunded: Event[Refund] = Event("refunded", Refund)


class RefundRefusedError(Exception):
    """The bank does not give the money back."""


async def give_back(order: Order, paid: Payment, ctx: StepContext) -> WaitFor | None:
    answer = ctx.received(refunded)
    if answer is None:
        print(f"  the bank is asked to give back {paid.payment_id}")  # a real one is handed ctx.idempotency_key
        return WaitFor(refunded, timeout=timedelta(days=10), correlation_id=paid.payment_id)
    if not answer.accepted:
        raise RefundRefusedError(f"the bank keeps {paid.payment_id}")
    print(f"  the bank has given back {paid.payment_id}")
    return None


@step(
    compensate=give_back,
    compensation_waits_for=refunded,
    compensation_retry_policy=FixedRetry(max_attempts=2, delay=timedelta(days=1)),
)
async def pay(order: Order) -> Payment:
    return Payment(f"payment-of-{order.order_id}")


@step
async def seat(order: Order) -> str:
    raise LookupError("sold out")


@saga("sell_ticket")
def sell_ticket(order: StepRef[Order]) -> StepRef[str]:
    pay(order)
    return seat(order)


async def tell(run: SagaRun[str], order: Order) -> None:
    match await run.outcome(timeout=10):
        case Failed(left_over=left):
            print(f"{order.order_id}: FAILED, {', '.join(f'{each.step_id}: {each.kind.value}' for each in left)}")
        case other:
            print(f"{order.order_id}: {other.snapshot.status.value}")


async def main() -> None:
    """Tell of a payment that comes back, of one that the bank keeps, and of one without an answer."""
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        order = Order("order-1")
        run = await orchestrator.register(sell_ticket).start(order, aggregation_id=order.order_id)
        bank = orchestrator.to(("sell_ticket", order.order_id), refunded)
        await bank.send(Refund(accepted=True), correlation_id="payment-of-order-1", event_id="m1")
        await tell(run, order)

    orchestrator = SagaOrchestrator(MemoryStore())  # as in a test of one's own: its clock jumps over the days
    tickets = orchestrator.register(sell_ticket)
    for order, refund in ((Order("order-2"), Refund(accepted=False)), (Order("order-3"), None)):
        run = await tickets.start(order)
        if refund is not None:
            await orchestrator.to(run.id, refunded).send(refund, correlation_id=f"payment-of-{order.order_id}")
        await orchestrator.run_until_idle(past_waits=True)
        await tell(run, order)


if __name__ == "__main__":
    asyncio.run(main())
