"""The sweep of the relay, alone with a store that a test answers for: one thing that it does holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast
from uuid import UUID

import pytest

from saga_fn.engine.hold import relay_sweep
from saga_fn.engine.hold.lane import Lane
from saga_fn.engine.hold.lanes import Lanes
from saga_fn.engine.hold.relay_store import RelayStore
from saga_fn.engine.hold.relay_sweep import Sweep
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.topics import Topics
from saga_fn.outgoing import OutgoingOptions, Published, RefusedForGood
from saga_fn.store.errors import RowLockedError
from saga_fn.store.ids import new_uuid
from saga_fn.store.protocol import Store
from saga_fn.store.records import HeldMessage
from tests.support.broker import Broker
from tests.support.ordering import Order, ordering
from tests.support.stores import Make
from tests.support.until import SOON, until


class Rows:
    """The outgoing messages of a store: some sagas' are locked by a stranger, others have been given back."""

    def __init__(self) -> None:
        self.locked: set[UUID] = set()
        self.released: list[UUID] = []
        self.statements: list[int] = []
        self.looks = 0

    def has_looked(self, times: int) -> bool:
        return self.looks > times

    async def due_topics(self) -> Sequence[tuple[int, str]]:
        self.looks += 1
        return ()

    async def release(self, shard: int, saga_ids: Sequence[UUID], *, token: UUID) -> None:
        self.statements.append(len(saga_ids))
        await asyncio.sleep(0)
        if self.locked & set(saga_ids):
            raise RowLockedError("another transaction holds a row")
        self.released += saga_ids


class Holds:
    """A relay that holds nothing in memory."""

    wanted = True

    def holds(self, saga_id: UUID) -> bool:
        return False

    def hold(self, held: Iterable[HeldMessage], sent: float) -> None:
        pass

    def work(self, lane: Lane) -> None:
        pass


class _Store:
    shards = 1

    def __init__(self, rows: Rows) -> None:
        self.outgoing = rows


@asynccontextmanager
async def sweeping(rows: Rows, behind: Iterable[UUID]) -> AsyncGenerator[Sweep]:
    """A sweep that looks all the time, for which these messages have no room."""
    store = cast("Store", _Store(rows))  # cast: it has what the sweep asks for
    options, observers, topics = OutgoingOptions(), Observers(), Topics()
    sweep = Sweep(RelayStore(store, topics, options, observers), Lanes(topics, options), Holds(), observers)
    for saga_id in behind:
        sweep.leave_behind(saga_id)
    sweep.start()
    try:
        yield sweep
    finally:
        await sweep.stop()


@pytest.fixture(autouse=True)
def looks_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_sweep, "_POLL", 0.01)


async def test_a_message_that_a_stranger_has_locked_holds_up_no_look_for_what_is_due() -> None:
    rows, saga_id = Rows(), new_uuid()
    rows.locked = {saga_id}
    async with sweeping(rows, [saga_id]):
        await until(lambda: len(rows.statements) > 3)
        assert rows.looks > 1
        rows.locked.clear()
        await until(lambda: rows.released == [saga_id])


async def test_many_are_given_back_by_statements_of_a_bounded_size_and_what_is_locked_holds_up_its_own_alone() -> None:
    rows, sagas = Rows(), [new_uuid() for _ in range(1_000)]
    rows.locked = {sagas[500]}
    async with sweeping(rows, sagas):
        await until(lambda: len(rows.released) >= 800)
        assert max(rows.statements) <= 200
        rows.locked.clear()
        await until(lambda: len(rows.released) == 1_000)
    assert set(rows.released) == set(sagas)


async def test_no_more_are_to_be_given_back_than_there_is_room_for_however_often_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_sweep, "_MOST_LEFT", 5)
    rows, sagas = Rows(), [new_uuid() for _ in range(5)]
    rows.locked = set(sagas)
    async with sweeping(rows, sagas) as sweep:
        for looks in range(20):
            sweep.leave_behind(new_uuid())
            await until(partial(rows.has_looked, looks))
    assert len(sweep.forget()) <= 5


async def test_nothing_is_given_back_of_a_saga_whose_next_message_is_being_taken(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, taking, given_back = Broker(), set[UUID](), list[UUID]()
    broker.answer = lambda each: RefusedForGood("never") if each.topic == "orders.charged" else Published()
    options = OutgoingOptions(on_dead="skip")
    async with make(publishers={"*": broker}, outgoing=options) as orchestrator:
        outgoing = type(orchestrator.engine.store.outgoing)
        take, release = outgoing.take, outgoing.release

        async def slow(store: Any, shard: int, saga_ids: Sequence[UUID], **given: Any) -> Any:  # Any: it passes them on
            taking.update(saga_ids)
            try:
                sweep = orchestrator.engine.relay._sweep  # pyright: ignore[reportPrivateUsage]  # one errand of it
                await sweep._give_back_what_was_left()  # pyright: ignore[reportPrivateUsage]  # as above
                return await take(store, shard, saga_ids, **given)
            finally:
                taking.difference_update(saga_ids)

        async def noted(store: Any, shard: int, saga_ids: Sequence[UUID], **given: Any) -> None:  # Any: as above
            given_back.extend(taking.intersection(saga_ids))
            await release(store, shard, saga_ids, **given)

        monkeypatch.setattr(outgoing, "take", slow)
        monkeypatch.setattr(outgoing, "release", noted)
        broker.open.clear()
        await (await orchestrator.register(ordering).start(Order(1))).result(timeout=SOON)
        broker.open.set()  # both of its messages are held now
        await broker.until(1)
        assert broker.topics == ["orders.shipped"]
    assert given_back == []
