"""Messages that come at bad moments are folded once each, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from saga_fn import FixedRetry, InputContext, MemoryStore, SagaAdmin, SagaBuilder, SagaOrchestrator, step
from saga_fn.store.records import UnreadRecord
from tests.support.shop import Done, Order
from tests.support.stores import Make
from tests.support.until import SOON, until


async def test_a_message_that_comes_during_a_commit_doubles_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    begun, told, failed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    seen: list[Sequence[object]] = []
    unread, commit = MemoryStore.unread, MemoryStore.commit

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

    async def unread_while_the_step_fails(self: MemoryStore, saga_id: UUID, *, most: int) -> list[UnreadRecord]:
        told.set()
        await failed.wait()
        await asyncio.sleep(0)
        return await unread(self, saga_id, most=most)

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
        monkeypatch.setattr(MemoryStore, "unread", unread_while_the_step_fails)
        monkeypatch.setattr(MemoryStore, "commit", commit_after_another_message)
        assert await orchestrator.notify(run.id, token, {"number": 1})
        assert await run.result(SOON) == Done("done")
        assert seen[-1] == ({"number": 1}, {"number": 2})


async def test_an_owner_writes_what_comes_of_a_message_once_though_a_notify_does_not_say_how_many_there_are(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, goes_on = asyncio.Event(), asyncio.Event()

    async def ship(inp: Order) -> Done:
        await goes_on.wait()
        return Done("shipped")

    async def charge(inp: Order) -> Done:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("again")
        return Done("charged")

    builder = SagaBuilder(Order, order="graph")
    builder.add_step(step(ship), depends_on=builder.initial)
    retry = FixedRetry(max_attempts=2, delay=timedelta(hours=1))
    definition = builder.build(output=builder.add_step(step(charge), depends_on=builder.initial, retry_policy=retry))
    async with make() as owner, make(concurrency=0) as other:
        run = await owner.register("both", definition).start(Order("1"))
        other.register("both", definition)
        await failed.wait()
        await until(lambda: owner.engine.held[run.id].saga.state.rev == 2)
        store, looks = owner.engine.store, list[UUID]()
        standing = store.standing

        async def counted(saga_id: UUID, seq: int) -> Any:  # Any: handed through
            looks.append(saga_id)
            return await standing(saga_id, seq)

        monkeypatch.setattr(store, "standing", counted)
        await SagaAdmin(other).retry_step(run.id, "charge")
        goes_on.set()
        assert await run.result(SOON) == Done("charged")
        assert looks == [], "a write that knows of each message is not refused, and looked up"
