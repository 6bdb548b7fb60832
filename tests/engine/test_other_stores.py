"""A store that is not ours: the orchestrator takes whatever does what a store does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from saga_fn import Completed, FixedRetry, MemoryStore, SagaError, SagaOrchestrator, SagaStatus, StoreError
from saga_fn.store import Store
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.protocol import lacking_in
from tests.support.shop import Done, Order, Shop, make_saga
from tests.support.until import SOON
from tests.typing.right.store import CountingStore


async def test_a_store_of_somebody_else_runs_sagas(dsn: str) -> None:
    for inner in (MemoryStore(), PostgresStore(dsn)):
        store = CountingStore(inner)
        async with SagaOrchestrator(store) as orchestrator:
            handle = orchestrator.register(
                "shop", make_saga(Shop(fails={"charge": 1}), retry=FixedRetry(max_attempts=2))
            )
            run = await handle.start(Order("1"), idempotency_key="1")
            assert isinstance(await run.outcome(SOON), Completed)
            assert (await orchestrator.health()).ok
        assert store.calls["insert"] == store.calls["open"] == store.calls["close"] == 1
        assert store.calls["commit"] == 4


async def test_time_is_jumped_over_where_it_is_the_stores_own() -> None:
    store = CountingStore(MemoryStore())
    orchestrator = SagaOrchestrator(store)
    run = await orchestrator.register("shop", make_saga(Shop())).start(Order("1"), delay=timedelta(days=3))
    before = store.now()
    await orchestrator.run_until_idle()
    assert (await run.snapshot()).status is SagaStatus.COMPLETED
    assert await run.result(SOON) == Done("ship")
    assert store.now() - before > timedelta(days=2) / timedelta(microseconds=1)


async def test_nobody_starts_what_nothing_would_run() -> None:
    orchestrator = SagaOrchestrator(CountingStore(MemoryStore()))
    handle = orchestrator.register("shop", make_saga(Shop()))
    async with orchestrator:
        pass
    with pytest.raises(SagaError, match="nothing else works on its CountingStore"):
        await handle.start(Order("1"))


class Without:
    """A store that lacks a few methods."""

    def __init__(self, inner: Store, *lacks: str) -> None:
        self._inner = inner
        self._lacks = lacks

    def __getattr__(self, name: str) -> Any:  # Any: as of the store
        if name in self._lacks:
            raise AttributeError(name)
        return getattr(self._inner, name)


class WithPart(Without):
    """A store of which one part lacks a few methods."""

    def __init__(self, inner: Store, part: str, *lacks: str) -> None:
        super().__init__(inner)
        setattr(self, part, Without(getattr(inner, part), *lacks))


@pytest.mark.parametrize(
    "part, member",
    [
        ("kept_events", "keep"),
        ("sent_events", "claim"),
        ("processes", "note"),
        ("operations", "claim"),
        ("pauses", "add"),
        ("lists", "page"),
        ("deletion", "begin"),
        ("outgoing", "claim"),
        ("transactions", "open"),
    ],
)
def test_each_part_of_a_store_is_looked_at(part: str, member: str) -> None:
    store = PostgresStore("postgresql://nowhere/nothing")
    assert lacking_in(store) == []
    assert lacking_in(WithPart(store, part, member)) == [f"{part}.{member}"]


def test_a_store_that_lacks_something_is_refused_and_that_is_named() -> None:
    lacking = cast("Store", Without(MemoryStore(), "renew", "jump_to"))
    with pytest.raises(StoreError, match=r"a Without is no store: it lacks jump_to, renew\nHINT: saga_fn.store.Store"):
        SagaOrchestrator(lacking)
    with pytest.raises(StoreError, match=r"it lacks processes, processes\.note, "):
        SagaOrchestrator(cast("Store", Without(MemoryStore(), "processes")))
    with pytest.raises(StoreError, match=r"it lacks operations\.claim\n"):
        SagaOrchestrator(cast("Store", WithPart(MemoryStore(), "operations", "claim")))
    with pytest.raises(StoreError, match="a DSN, a pool or a store"):
        SagaOrchestrator(cast("Store", 7))
