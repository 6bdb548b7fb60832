"""Throughput under what wears databases down: a million sleeping sagas, a transaction left open for minutes."""

from __future__ import annotations

import asyncio

import asyncpg

from saga_fn import SagaHandle
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report
from tests.bench.sagas import STEPS, Data, measure, orchestrator, sequence

_IN_FLIGHT = 100


async def sleepers(server: EmbeddedPostgres, report: Report, *, count: int) -> None:
    """Before and after so many sagas were put to sleep in the same table."""
    async with orchestrator(server.dsn, in_flight=_IN_FLIGHT) as running:
        handle = running.register("bench", sequence(STEPS))
        before = await _speed(handle)
        observer = await asyncpg.connect(server.dsn)
        # Copies of one saga that has ended, as if each waited for a retry next year.
        await observer.execute(
            """
            INSERT INTO saga_fn.saga (
                shard, id, name, version, trace_id, request, plan, format, status, waits, state, rev, due_at
            )
            SELECT shard, gen_random_uuid(), name, version, trace_id, request, plan, format, 'SUSPENDED', 1, state, rev,
                now() + make_interval(days => 365, secs => n)
            FROM (SELECT * FROM saga_fn.saga LIMIT 1) AS one, generate_series(1, $1::bigint) AS n
            """,
            count,
        )
        await observer.execute("CHECKPOINT")
        await observer.close()
        after = await _speed(handle)
    _compare(report, f"{count:,} sleeping sagas", before, after)


async def open_transaction(server: EmbeddedPostgres, report: Report, *, seconds: int) -> None:
    """While another session holds the horizon back, so that nothing dead can be cleaned up."""
    async with orchestrator(server.dsn, in_flight=_IN_FLIGHT) as running:
        handle = running.register("bench", sequence(STEPS))
        before = await _speed(handle)
        holder = await asyncpg.connect(server.dsn)
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await holder.fetchval("SELECT count(*) FROM saga_fn.saga")
        end = asyncio.get_running_loop().time() + seconds
        during = before
        while asyncio.get_running_loop().time() < end:
            during = await _speed(handle)
        await holder.close()
    _compare(report, f"at the end of {seconds} s with a transaction open", before, during)


def _compare(report: Report, what: str, before: float, after: float) -> None:
    report.table(
        f"Under pressure, {STEPS} steps, {_IN_FLIGHT} in flight",
        ["what", "sagas/s before", "sagas/s then", "change"],
        [[what, before, after, f"{after / before - 1:+.1%}"]],
    )


async def _speed(handle: SagaHandle[Data, Data]) -> float:
    await measure(handle, in_flight=_IN_FLIGHT, sagas=500)
    return (await measure(handle, in_flight=_IN_FLIGHT, sagas=5000)).per_second
