"""A saga whose steps publish messages, and a look at those that are not published yet."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import attrs

from saga_fn import (
    Outgoing,
    SagaDefinition,
    SagaOrchestrator,
    StepContext,
    StepRef,
    saga,
    step,
)
from saga_fn.outgoing import (
    OutgoingOptions,
)
from saga_fn.store.records import OutgoingRecord
from tests.support.until import SOON

QUICK = OutgoingOptions(
    first_delay=timedelta(milliseconds=20), longest_delay=timedelta(milliseconds=50), max_attempts=3
)


@attrs.frozen
class Order:
    number: int


@step
async def charge(order: Order, ctx: StepContext) -> int:
    ctx.publish("orders.charged", order, headers={"by": "charge"})
    return order.number


@step(publishes=Outgoing("orders.shipped", payload=lambda number: {"number": number}, key=lambda number: f"k{number}"))
async def ship(number: int) -> int:
    return number


@saga("order")
def ordering(order: StepRef[Order]) -> StepRef[int]:
    return ship(charge(order))


async def unsent(orchestrator: SagaOrchestrator, saga_id: UUID) -> list[OutgoingRecord]:
    return await orchestrator.engine.store.outgoing.of_saga(saga_id, most=100)


async def until_sent(orchestrator: SagaOrchestrator, saga_id: UUID) -> None:
    async with asyncio.timeout(SOON):
        while await unsent(orchestrator, saga_id):
            await asyncio.sleep(0.005)


def ordering_with_hook() -> SagaDefinition[Order, int]:
    @saga("order", on_started=Outgoing("news"))
    def hooked(order: StepRef[Order]) -> StepRef[int]:
        return ship(charge(order))

    return hooked
