"""Sagas and claims while sagas that have ended are deleted: with the rests of a worker, and without any."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from uuid import uuid4

import asyncpg

from saga_fn import Retention, SagaAdmin, SagaHandle, SagaOrchestrator
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, Value, median
from tests.bench.sagas import STEPS, Data, measure, orchestrator, sequence

_IN_FLIGHT = 100
_KEPT = Retention(completed=timedelta(days=30))
_ENTRIES = 4

_FILL = """
    INSERT INTO saga_fn.saga (shard, era, id, name, version, trace_id, request, plan, format, status, waits, state, rev,
                              created_at, updated_at, ended_at, keyed)
    SELECT 0, 312, gen_random_uuid(), 'old', 1, 't', '', 'p', 1, 'COMPLETED', 0, convert_to(repeat('s', 200), 'UTF8'), $2,
           now() - interval '90 days', now() - interval '60 days', now() - interval '60 days' + n * interval '1 second', true
    FROM generate_series(1, $1::integer) AS n
"""
_JOURNAL = """
    INSERT INTO saga_fn.saga_journal (shard, era, saga_id, seq, writer, kind, event, input, payload)
    SELECT 0, 312, s.id, seq, s.id, 'step_succeeded', '', convert_to(repeat('i', 211), 'UTF8'),
           convert_to(repeat('o', 211), 'UTF8')
    FROM saga_fn.saga AS s CROSS JOIN generate_series(1, $1::integer) AS seq
    WHERE s.name = 'old'
"""


async def run(server: EmbeddedPostgres, report: Report, *, sagas: int, seconds: int) -> None:
    """Latencies without deletions, beside those of a worker, and beside those of an operator."""
    async with orchestrator(server.dsn, in_flight=_IN_FLIGHT) as running:
        handle = running.register("bench", sequence(STEPS))
        connection = await asyncpg.connect(server.dsn)
        await connection.execute(_FILL, sagas, _ENTRIES, timeout=3600)
        await connection.execute(_JOURNAL, _ENTRIES, timeout=3600)
        await connection.execute("VACUUM ANALYZE", timeout=3600)
        running.register("old", sequence(1), version=1)
        rows: list[list[Value]] = []
        for what, deletes in (
            ("no deletion", None),
            ("a worker deletes", _as_a_worker),
            ("an operator prunes", _at_once),
        ):
            before = await _left(connection)
            task = None if deletes is None else asyncio.create_task(deletes(running))
            begun = time.monotonic()
            figures = await _figures(running, handle, seconds)
            took = time.monotonic() - begun
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            rows.append([what, *figures, (before - await _left(connection)) / took])
        await connection.close()
    report.table(
        f"Beside {sagas:,} sagas of {_ENTRIES} journal entries that are deleted; {STEPS} steps, {_IN_FLIGHT} in flight",
        ["when", "saga p50 ms", "saga p99 ms", "claim p50 ms", "claim p99 ms", "deleted/s"],
        rows,
    )


async def _left(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    left: int = await connection.fetchval("SELECT count(*) FROM saga_fn.saga WHERE name = 'old'")
    return left


async def _as_a_worker(running: SagaOrchestrator) -> None:
    """Batches with the rests of a worker."""
    engine = running.engine
    registered = engine.registry.find("old", 1)
    assert registered is not None
    await engine.deleting.delete(0, registered, _KEPT)


async def _at_once(running: SagaOrchestrator) -> None:
    """One batch after another."""
    await SagaAdmin(running).prune("old", version=1, retention=_KEPT, limit=1_000_000)


async def _figures(running: SagaOrchestrator, handle: SagaHandle[Data, Data], seconds: float) -> list[float]:
    """p50 and p99 of sagas, and of claims that find nothing, meanwhile."""
    claims: list[float] = []
    claiming = asyncio.create_task(_claim(running, claims))
    end = time.monotonic() + seconds
    found = [await measure(handle, in_flight=_IN_FLIGHT, sagas=2500)]
    while time.monotonic() < end:
        found.append(await measure(handle, in_flight=_IN_FLIGHT, sagas=2500))
    claiming.cancel()
    await asyncio.gather(claiming, return_exceptions=True)
    claims.sort()
    return [
        median([each.p50 for each in found]),
        median([each.p99 for each in found]),
        median(claims),
        claims[len(claims) * 99 // 100],
    ]


async def _claim(running: SagaOrchestrator, times: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await running.engine.store.claim_due(0, [("old", 1)], owner=uuid4(), limit=100, lease=timedelta(seconds=15))
        times.append(1000 * (time.perf_counter() - begun))
        await asyncio.sleep(0.02)
