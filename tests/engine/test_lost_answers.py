"""A commit whose answer is lost, and that the server goes on with: at whatever moment it comes through, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from saga_fn import Completed, MemoryStore, SagaAdmin
from saga_fn.errors import StoreUnavailableError
from saga_fn.store.postgres import PostgresStore
from saga_fn.store.records import Committed, SagaWrite
from tests.support.shop import Order, Shop, make_saga
from tests.support.stores import Make
from tests.support.until import SOON

LOOKS = ("read", "writers", "active_tokens", "standing", "journal", "results")
Commit = Callable[..., Awaitable[Committed]]


class Backend:
    """A server whose connection broke in a commit: it goes on with it, and is done after the next `delay` statements."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, store: type[Any], *, delay: int
    ) -> None:  # Any: a store of either kind
        self.delay = delay
        self.left: Callable[[], Awaitable[Committed]] | None = None
        self.armed = False
        self.lost = 0
        commit: Commit = store.commit

        async def lossy(
            at: Any, shard: int, writes: Sequence[SagaWrite], *, skip_locked: bool = False
        ) -> Committed:  # Any: as above
            if self.left is not None:  # the rows are locked by that commit
                return Committed({}, at.now())
            if self.armed:
                self.armed = False
                self.lost += 1
                self.left = lambda: commit(at, shard, writes)
                raise StoreUnavailableError("the connection broke")
            return await commit(at, shard, writes, skip_locked=skip_locked)

        monkeypatch.setattr(store, "commit", lossy)
        for name in LOOKS:
            if hasattr(store, name):
                monkeypatch.setattr(store, name, self._then(getattr(store, name)))

    def _then(self, look: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def looked(*args: object, **named: object) -> object:
            found = await look(*args, **named)
            if self.left is not None:
                self.delay -= 1
                if self.delay <= 0:
                    left, self.left = self.left, None
                    await left()
            return found

        return looked


@pytest.mark.fault(5)
@pytest.mark.parametrize("delay", [1, 2, 3])
async def test_a_writer_is_never_told_that_it_lost_a_saga_that_is_its_own(
    make: Make, monkeypatch: pytest.MonkeyPatch, delay: int
) -> None:
    orchestrator = make(lease=timedelta(seconds=30), listen=False)
    memory = isinstance(orchestrator.engine.store, MemoryStore)
    backend = Backend(monkeypatch, MemoryStore if memory else PostgresStore, delay=delay)
    hold = asyncio.Event()
    shop = Shop(hold=hold)
    async with orchestrator:
        run = await orchestrator.register("shop", make_saga(shop)).start(Order("1"))
        async with asyncio.timeout(SOON):
            while len(shop.keys) < 2:
                await asyncio.sleep(0.005)
        backend.armed = True
        hold.set()
        assert isinstance(await run.outcome(SOON), Completed)
        assert backend.lost == 1
        assert len(shop.keys) == 3, "each step was begun once"
        kinds = [entry.kind for entry in (await SagaAdmin(orchestrator).get_saga(run.id)).step_history]
        assert kinds == ["started", *["step_succeeded"] * 3], "no process took it over"
