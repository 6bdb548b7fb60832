"""The pages of the console over a million sagas of which one in a thousand needs a person: how long each takes."""

from __future__ import annotations

import time
from datetime import timedelta
from urllib.parse import quote

import asyncpg
import httpx

from saga_fn import FixedRetry, SagaAdmin, SagaFilter, SagaOrchestrator, StepRef, WaitReason, saga, step
from saga_fn.console import Operator, Permission, console
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.lists import fill
from tests.bench.report import Report, Value, median

_MANY = 100
_ENTRIES = 1000
"""Entries of the journal of the saga that is looked at."""


@step
async def reserve(order: dict[str, str]) -> dict[str, str]:
    return order


@step(retry_policy=FixedRetry(max_attempts=5, delay=timedelta(hours=1)))
async def charge(order: dict[str, str]) -> dict[str, str]:
    raise ConnectionError("the bank is closed")


@saga("looked at")
def looked_at(order: StepRef[dict[str, str]]) -> StepRef[dict[str, str]]:
    return charge(reserve(order))


async def run(server: EmbeddedPostgres, report: Report, *, sagas: int, rounds: int) -> None:
    """Each page, as a browser gets it; no browser draws it."""
    async with SagaOrchestrator(server.dsn, migrate=True, concurrency=0, log_repeats=1) as orchestrator:
        connection = await asyncpg.connect(server.dsn)
        await fill(connection, sagas)
        handle = orchestrator.register(looked_at)
        started = await handle.start({"order": "7"})
        await handle.start_many([{"order": "8"}] * _MANY)
        admin = SagaAdmin(orchestrator)
        await orchestrator.run_due(10 * _MANY)
        assert str(await admin.count(SagaFilter(saga_name="looked at", waits=WaitReason.RETRY))) == str(_MANY + 1)
        while (await admin.get_saga(started.id, journal_limit=1)).revision < _ENTRIES:
            await admin.retry_step(started.id, "charge")
            await orchestrator.run_due()
        await connection.execute("VACUUM ANALYZE", timeout=3600)
        await connection.close()
        app = console(orchestrator, authorize=lambda _: Operator("ann", may=Permission))
        one = f"/sagas/{started.id}"
        pages = {
            "first page": "/",
            "list": "/sagas",
            "list, parked": "/sagas?waits=parked",
            "list, parked, the oldest first": "/sagas?waits=parked&oldest_first=true",
            "list, FAILED, not acknowledged": "/sagas?status=FAILED&acknowledged=false",
            "list, parked, at a step": "/sagas?waits=parked&step=" + quote("charge 3"),
            "list, of a business key": "/sagas?aggregation_id=" + quote("key 5000"),
            "list, with a value": "/sagas?attribute=customer%3Dc-7",
            f"a saga, {_ENTRIES:,} entries": one,
            "a saga, its first entries": f"{one}?journal_after=0",
            "a verb": f"{one}/verbs/retry_step?step=charge",
            f"a verb for {_MANY} sagas": "/many?verb=cancel&saga_name=" + quote("looked at"),
            "definitions": "/definitions",
            "a definition": "/definition?version=1&name=" + quote("looked at"),
            "acts": "/acts",
            "kept events": "/kept",
        }
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as http:
            rows: list[list[Value]] = [[name, *await _figures(http, path, rounds)] for name, path in pages.items()]
    report.table(
        f"Pages of the console over {sagas:,} sagas, of {3 * rounds}, milliseconds",
        ["page", "KiB", "median", "longest"],
        rows,
    )


async def _figures(http: httpx.AsyncClient, path: str, rounds: int) -> list[Value]:
    size, times = 0, list[float]()
    for _ in range(3 * rounds + 1):
        begun = time.perf_counter()
        page = await http.get(path)
        times.append(1000 * (time.perf_counter() - begun))
        page.raise_for_status()
        size = len(page.content) // 1024
    return [size, median(times[1:]), max(times[1:])]  # the first one makes the server's plans
