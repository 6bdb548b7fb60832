"""A saga that waits to be approved, and what comes to its inbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from saga_fn import Event, MemoryStore, SagaBuilder, SagaDefinition, SagaOrchestrator, SagaRun, step
from saga_fn.store.memory import StoredMessage
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import InboxMessage
from tests.support.shop import Order, Shop


class Approval(msgspec.Struct, frozen=True):
    by: str


class Approved(msgspec.Struct, frozen=True, tag=True):
    by: str


class Rejected(msgspec.Struct, frozen=True, tag=True):
    why: str


approval = Event("approval", Approval)


def approved(
    shop: Shop, *, timeout: timedelta | None = None, default: Approval | None = None
) -> SagaDefinition[Order, Approval]:
    """Reserve, wait to be approved, ship; the result is the approval."""
    builder = SagaBuilder(Order)
    builder.add_step(step(shop.reserve, compensate=shop.release), depends_on=builder.initial)
    if default is not None:
        assert timeout is not None
        answer = builder.add_event(approval, timeout=timeout, default=default)
    else:
        answer = builder.add_event(approval, timeout=timeout)
    builder.add_step(step(shop.ship), depends_on=answer, input_map=lambda a: Order(a.by))
    return builder.build(output=answer)


async def forge(orchestrator: SagaOrchestrator, saga_id: UUID, messages: int) -> None:
    """Messages that cannot be read, put into an inbox behind the back of its saga, which counts none of them."""
    store = orchestrator.engine.store
    if isinstance(store, MemoryStore):
        inbox = store._sagas[saga_id].inbox  # pyright: ignore[reportPrivateUsage]  # behind the store's back
        inbox += [StoredMessage(InboxMessage(uuid4(), "event", b"?"), datetime.now(UTC)) for _ in range(messages)]
        return
    assert isinstance(store, PostgresStore)
    async with store._database.work() as connection:  # pyright: ignore[reportPrivateUsage]  # as above
        await connection.execute(
            "INSERT INTO saga_fn.saga_inbox (shard, saga_id, id, body)"
            " SELECT 0, $1, gen_random_uuid(), '?' FROM generate_series(1, $2)",
            saga_id,
            messages,
        )


async def tell(orchestrator: SagaOrchestrator, run: SagaRun[Any], event: dict[str, str]) -> bool:  # Any: of any result
    """Notify with the token that the saga has now."""
    token = (await run.snapshot()).step_execution_token
    assert token is not None
    return await orchestrator.notify(run.id, token, event)
