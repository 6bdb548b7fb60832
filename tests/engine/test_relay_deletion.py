"""Messages that are published are deleted together a moment later; no message, and no stop, waits for that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from saga_fn import SagaOrchestrator
from saga_fn.engine.hold import relay_deletion
from saga_fn.outgoing import OutgoingOptions
from saga_fn.store.records import SagaWrite
from tests.support.broker import Broker
from tests.support.ordering import Order, ordering, unsent, until_sent
from tests.support.stores import Make
from tests.support.until import SOON, until

_FOR_EVER = 600.0


def _confirmed(
    orchestrator: SagaOrchestrator, monkeypatch: pytest.MonkeyPatch, gate: asyncio.Event | None = None
) -> list[int]:
    """How many messages each deletion is of, from now on; each waits for the gate."""
    messages = type(orchestrator.engine.store.outgoing)
    confirm, sizes = messages.confirm, list[int]()

    async def seen(self: Any, shard: int, places: Sequence[Any]) -> None:
        if gate is not None:
            await gate.wait()
        sizes.append(len(places))
        await confirm(self, shard, places)

    monkeypatch.setattr(messages, "confirm", seen)
    return sizes


async def test_what_is_published_in_one_moment_is_deleted_together(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_deletion, "LINGER", _FOR_EVER)
    monkeypatch.setattr(relay_deletion, "_ENOUGH", 20)
    broker = Broker()
    async with make(publishers={"*": broker}, concurrency=32) as orchestrator:
        sizes = _confirmed(orchestrator, monkeypatch)
        handle = orchestrator.register(ordering)
        runs = [await handle.start(Order(number)) for number in range(10)]
        await broker.until(20)
        for run in runs:
            await until_sent(orchestrator, run.id)
    assert sum(sizes) == 20
    assert len(sizes) <= 2  # what is published while the twentieth is deleted is none
    assert len(broker.messages) == 20


async def test_a_saga_publishes_its_next_message_before_the_first_is_deleted(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_deletion, "LINGER", _FOR_EVER)
    broker = Broker()
    async with make(publishers={"*": broker}) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(7))
        await run.result(timeout=SOON)
        await broker.until(2)
        assert len(await unsent(orchestrator, run.id)) == 2


async def test_a_process_that_stops_deletes_what_it_has_published(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_deletion, "LINGER", _FOR_EVER)
    broker = Broker()
    async with make(publishers={"*": broker}) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(7))
        await run.result(timeout=SOON)
        await broker.until(2)
    async with make(publishers={"*": broker}) as orchestrator:
        assert not await unsent(orchestrator, run.id)
    assert broker.topics == ["orders.charged", "orders.shipped"]


async def test_a_message_whose_saga_has_later_ones_in_the_store_waits_for_no_others(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker()
    options = OutgoingOptions(waiting=1, batch=1, timeout=timedelta(seconds=SOON))
    broker.open.clear()
    async with make(publishers={"*": broker}, outgoing=options) as orchestrator:
        relay, messages, waits = orchestrator.engine.relay, type(orchestrator.engine.store.outgoing), list[bool]()
        confirm = messages.confirm

        async def seen(*given: Any) -> None:
            waits.append(any(lane.working for lane in relay.lanes))
            await confirm(*given)

        monkeypatch.setattr(messages, "confirm", seen)
        run = await orchestrator.register(ordering).start(Order(7))
        await run.result(timeout=SOON)
        monkeypatch.setattr(relay_deletion, "LINGER", _FOR_EVER)
        broker.open.set()
        await broker.until(2)
        assert waits[0]  # no look comes before: it would put off the later message, behind one that is published
    assert broker.topics == ["orders.charged", "orders.shipped"]


async def test_no_more_is_published_than_waits_to_be_deleted_while_the_store_does_not_answer(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in (("_ENOUGH", 1), ("_MOST", 3)):
        monkeypatch.setattr(relay_deletion, name, number)
    broker, gate = Broker(), asyncio.Event()
    options = OutgoingOptions(batch=2)
    async with make(publishers={"*": broker}, outgoing=options, concurrency=32) as orchestrator:
        _confirmed(orchestrator, monkeypatch, gate)
        handle = orchestrator.register(ordering)
        runs = [await handle.start(Order(number)) for number in range(20)]
        for run in runs:
            await run.result(timeout=SOON)
        # At most a call's is being deleted; beside it at most three and a call's wait.
        assert len(broker.messages) <= 3 + 3 * 2
        gate.set()
        await broker.until(40)
        for run in runs:
            await until_sent(orchestrator, run.id)
    assert len(broker.messages) == 40


async def test_a_deletion_whose_task_other_code_cancels_is_begun_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_deletion, "LINGER", _FOR_EVER)
    broker = Broker()

    def deleting() -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() if "_delete_all" in repr(task.get_coro())]

    async with make(publishers={"*": broker}) as orchestrator:
        run = await orchestrator.register(ordering).start(Order(7))
        await run.result(timeout=SOON)
        await broker.until(2)
        (task,) = deleting()
        monkeypatch.setattr(relay_deletion, "LINGER", 0.0)  # first: a message may be published yet, and begins it again
        task.cancel()
        await asyncio.wait((task,))
        orchestrator.engine.relay.look_soon()
        await until(lambda: not orchestrator.engine.relay.holds(run.id))
        assert not await unsent(orchestrator, run.id)
    assert len(broker.messages) == 2


async def test_a_message_whose_commit_has_met_one_that_is_deleted_meanwhile_is_published_at_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_deletion, "LINGER", 0.0)
    broker, met = Broker(), asyncio.Event()
    async with make(publishers={"*": broker}) as orchestrator:
        _confirmed(orchestrator, monkeypatch, met)
        store = orchestrator.engine.store
        messages, taken = type(store.outgoing), list[int]()
        commit, take = type(store).commit, messages.take

        async def answered_late(self: Any, shard: int, writes: Sequence[SagaWrite], **options: Any) -> Any:
            committed = await commit(self, shard, writes, **options)
            if committed.earlier:
                met.set()
                await until(lambda: not orchestrator.engine.relay.holds(writes[0].id))
            return committed

        async def seen(*given: Any, **options: Any) -> Any:
            taken.append(1)
            return await take(*given, **options)

        monkeypatch.setattr(type(store), "commit", answered_late)
        monkeypatch.setattr(messages, "take", seen)
        run = await orchestrator.register(ordering).start(Order(7))
        await run.result(timeout=SOON)
        await broker.until(2)
        assert met.is_set()
    assert broker.topics == ["orders.charged", "orders.shipped"]
    assert not taken
