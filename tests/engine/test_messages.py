"""Messages that come at bad moments are folded once each, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from saga_fn import FixedRetry, InputContext, MemoryStore, SagaBuilder, SagaOrchestrator, step
from saga_fn.store.records import InboxMessage
from tests.support.shop import Done, Order
from tests.support.until import SOON


async def test_a_message_that_comes_during_a_commit_doubles_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    begun, told, failed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    seen: list[Sequence[object]] = []
    messages, commit = MemoryStore.messages, MemoryStore.commit

    async def work(inp: Order) -> Done:
        if not begun.is_set():
            begun.set()
            await told.wait()
            failed.set()
            raise RuntimeError("again")
        return Done("done")

    def mapping(ctx: InputContext[Order]) -> Order:
        seen.append(ctx.events)
        return ctx.initial_data

    async def messages_while_the_step_fails(self: MemoryStore, saga_id: UUID) -> list[InboxMessage]:
        told.set()
        await failed.wait()
        await asyncio.sleep(0)
        return await messages(self, saga_id)

    async def commit_after_another_message(self: MemoryStore, *args: Any, **named: Any) -> Any:  # Any: handed through
        monkeypatch.setattr(MemoryStore, "commit", commit)
        assert token is not None
        assert await orchestrator.notify(run.id, token, {"number": 2})
        return await commit(self, *args, **named)

    builder = SagaBuilder(Order)
    retry = FixedRetry(max_attempts=2, delay=timedelta(hours=1))
    output = builder.add_step(step(work), input_map=mapping, retry_policy=retry)
    async with SagaOrchestrator(store) as orchestrator:
        run = await orchestrator.register("told", builder.build(output=output)).start(Order("1"))
        await begun.wait()
        token = (await run.snapshot()).step_execution_token
        assert token is not None
        monkeypatch.setattr(MemoryStore, "messages", messages_while_the_step_fails)
        monkeypatch.setattr(MemoryStore, "commit", commit_after_another_message)
        assert await orchestrator.notify(run.id, token, {"number": 1})
        assert await run.result(SOON) == Done("done")
        assert seen[-1] == ({"number": 1}, {"number": 2})
