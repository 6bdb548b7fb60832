"""What cannot be started, awaited or skipped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from saga_fn import (
    ArchivedSaga,
    Compensated,
    Completed,
    MemoryStore,
    Outcome,
    Retention,
    SagaAdmin,
    SagaFilter,
    SagaHandle,
    SagaOrchestrator,
    SagaRun,
)
from tests.typing.shop import CardCharged, Charged, Order, Reserved, ReserveInput, built, create_order


async def main(orchestrator: SagaOrchestrator, saga_id: UUID) -> None:
    definition, charged = built()
    orders = orchestrator.register(create_order)
    # refused: arg-type | reportArgumentType
    await orders.start(ReserveInput("1"))
    # refused: arg-type | reportArgumentType
    await orders.start({"order_id": "1"})
    # refused: arg-type | reportArgumentType
    await orders.start(Order("1"), aggregation_id=7)
    # refused: arg-type | reportArgumentType
    await orders.run("1")
    # refused: arg-type | reportArgumentType
    orders.attach("not a uuid")
    # refused: arg-type | reportArgumentType
    await orders.start(Order("1"), connection="postgresql://localhost")
    # refused: arg-type | reportArgumentType
    await orders.start(Order("1"), notify="yes")
    run = await orders.start(Order("1"))
    # refused: assignment | reportAssignmentType
    reserved: Reserved = await run.result()
    # refused: attr-defined | reportAttributeAccessIssue | reservation_id
    (await run.result()).reservation_id
    # refused: call-overload | reportArgumentType
    orchestrator.register(built)
    # refused: call-overload | reportArgumentType
    orchestrator.register(definition, "create_order")
    # refused: call-overload | reportArgumentType
    orchestrator.register(create_order, create_order)
    # refused: arg-type | reportAssignmentType
    wrong: SagaHandle[ReserveInput, Charged] = orchestrator.handle(definition)
    # refused: call-arg | reportCallIssue
    await orchestrator.start(saga_name="create_order")
    # refused: call-arg | reportCallIssue
    await orchestrator.start("create_order", initial_data={})
    # refused: arg-type | reportArgumentType
    await SagaAdmin(orchestrator).step(saga_id, charged).skip(Reserved("manual"))
    # refused: arg-type | reportArgumentType
    await SagaAdmin(orchestrator).list("create_order")
    # refused: arg-type | reportArgumentType
    SagaFilter(status="FAILED")
    # refused: arg-type | reportArgumentType
    SagaFilter(waits=16)
    # refused: arg-type | reportArgumentType
    await SagaAdmin(orchestrator).step(saga_id, "charge").skip(Charged("manual"))
    print(reserved, wrong)


def narrower(run: SagaRun[Charged]) -> SagaRun[CardCharged]:
    # refused: return-value | reportReturnType
    return run


# refused: return | reportReturnType
def not_exhaustive(outcome: Outcome[Charged]) -> str:
    # refused: - | reportMatchNotExhaustive
    match outcome:
        case Completed():
            return outcome.result.payment_id
        case Compensated():
            return outcome.error or ""


# refused: arg-type | reportArgumentType
SagaOrchestrator(7)


def not_async(sagas: Sequence[ArchivedSaga]) -> None: ...


# refused: arg-type | reportArgumentType
Retention(completed=timedelta(days=1), archive=not_async)
# refused: arg-type | reportArgumentType
Retention(completed=30)


class HalfAStore:
    async def commit(self, shard: int) -> None: ...


# refused: arg-type | reportArgumentType
SagaOrchestrator(HalfAStore())
# refused: arg-type | reportArgumentType
SagaOrchestrator(MemoryStore(), lease=15)
