"""A connect that is cut short comes to its end by itself: the driver leaves no complaint behind, and no connection open."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from saga_fn.store import connections
from saga_fn.store.connections import OwnConnections, connect
from saga_fn.store.dsn import read_dsn
from tests.support.until import SOON
from tests.support.wire import wired

EACH = 400
"""A connect is cut at each of so many turns of the event loop, then at every second one, every third, and so on."""
MOST = 20_000
"""More turns than a connect takes where the server answers, on a slow machine, too."""


async def asked_of_the_store(dsn: str) -> None:
    own = OwnConnections(read_dsn(dsn), size=1)
    try:
        async with own.connection() as connection:
            assert len(await connection.fetch("SELECT 1")) == 1
    finally:
        await own.close()


async def opened_alone(dsn: str) -> None:
    connection = await connect(read_dsn(dsn))
    connection.terminate()


@pytest.mark.parametrize("work", [asked_of_the_store, opened_alone])
@pytest.mark.parametrize("way", ["socket", "tcp"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_connect_may_be_cut_short_at_each_turn(
    work: Callable[[str], Awaitable[None]], way: str, times: int, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CLOSING", SOON)  # on a machine that stands still, a connect may take longer
    async with wired(dsn) as wire:
        await cut_at_each_turn(work, dsn if way == "socket" else wire.dsn, times)
    await all_gone(dsn)


async def cut_at_each_turn(work: Callable[[str], Awaitable[None]], dsn: str, times: int) -> None:
    complaints: list[dict[str, Any]] = []  # Any: as asyncio has it
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    turns, before = 0, len(asyncio.all_tasks())
    while turns < MOST:
        task = asyncio.ensure_future(work(dsn))
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            await task
            break
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(SOON):
            while len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0)
        turns += 1 + turns // EACH
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def all_gone(dsn: str) -> None:
    """Return when no connection of those is left on the server."""
    looks = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(SOON):
            while await looks.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND application_name = 'saga_fn'"
            ):
                await asyncio.sleep(0.01)
    finally:
        await looks.close()
