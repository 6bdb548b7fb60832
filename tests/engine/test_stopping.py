"""Leaving an orchestrator leaves nothing behind, whatever state the store is in."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import NoReturn

import pytest

from saga_fn import MemoryStore, SagaOrchestrator, StoreUnavailableError
from tests.support.shop import Order, Shop, make_saga


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
