"""Leaving an orchestrator leaves nothing behind, whatever state the store is in."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

import pytest

from saga_fn import Completed, MemoryStore, SagaBuilder, SagaOrchestrator, StoreUnavailableError, step
from saga_fn.engine import engine
from saga_fn.store.records import Committed
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON

HOUR = timedelta(hours=1)


async def test_a_store_that_does_not_answer_any_more_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def unavailable(*_: object, **__: object) -> NoReturn:
        asked.set()
        raise StoreUnavailableError("gone")

    short = timedelta(milliseconds=50)
    before = asyncio.all_tasks()
    store = MemoryStore()
    async with SagaOrchestrator(store, lease=short, stop_timeout=short) as orchestrator:
        monkeypatch.setattr(MemoryStore, "commit", unavailable)
        await orchestrator.register("shop", make_saga(Shop())).start(Order("1"))
        await asked.wait()
    assert asyncio.all_tasks() == before


async def test_a_process_that_stops_is_gone_for_others_though_the_store_takes_its_time(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as it is not, sagas whose plan fits no worker are left to it, and senders wait for its answer."""
    monkeypatch.setattr(engine, "_LEAVING", SOON)
    async with make(concurrency=0) as other, make() as stops:
        processes = stops.engine.store.processes
        forget = processes.forget

        async def slowly(process_id: UUID) -> None:
            await asyncio.sleep(2 * engine._CLEAN_UP)  # pyright: ignore[reportPrivateUsage]  # longer than other parts have
            await forget(process_id)

        stops.register("shop", make_saga(Shop()))
        async with asyncio.timeout(SOON):
            while not await other.engine.store.processes.others(other.engine.owner, seen_within=HOUR):
                await asyncio.sleep(0.01)
        monkeypatch.setattr(processes, "forget", slowly)
        await stops.__aexit__(None, None, None)
        assert not await other.engine.store.processes.others(other.engine.owner, seen_within=HOUR)
        await stops.__aenter__()


async def test_a_step_that_is_committed_while_its_process_stops_is_not_begun_there(make: Make) -> None:
    """The answer of the write comes after the stop: user code that would be cut short at once is not called."""
    called: list[str] = []
    written, answered = asyncio.Event(), asyncio.Event()

    async def first(order: Order) -> Done:
        called.append("first")
        return Done("first")

    async def second(done: Done) -> Done:
        called.append("second")
        return Done("second")

    builder = SagaBuilder(Order)
    before = builder.add_step(step(first), depends_on=builder.initial)
    builder.add_step(step(second), depends_on=before, on_unknown="park")
    definition = builder.build()
    orchestrator = make(stop_timeout=timedelta(milliseconds=100))
    commit = orchestrator.engine.store.commit

    async def late(*args: Any, **options: Any) -> Committed:  # Any: as the store's own
        committed = await commit(*args, **options)
        if called and not answered.is_set():
            written.set()
            await answered.wait()
        return committed

    with pytest.MonkeyPatch.context() as patch:
        async with asyncio.timeout(SOON), orchestrator:
            patch.setattr(orchestrator.engine.store, "commit", late)
            run = await orchestrator.register("two", definition).start(Order("1"))
            await written.wait()
            asyncio.get_running_loop().call_later(0.5, answered.set)
    assert called == ["first"]
    async with make() as other:
        # No probe asks whether it has run: its process knows that it has not.
        assert isinstance(await other.register("two", definition).attach(run.id).outcome(SOON), Completed)
    assert called == ["first", "second"]
