"""The load that wears databases down: a million sleeping sagas, a transaction open for minutes, a row that a session locks."""

from __future__ import annotations

import asyncio
import logging

import asyncpg
from typing_extensions import override

from saga_fn import SagaBuilder, SagaHandle, step
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, median
from tests.bench.sagas import STEPS, Data, measure, orchestrator, sequence

_IN_FLIGHT = 100


async def sleepers(server: EmbeddedPostgres, report: Report, *, count: int, rounds: int) -> None:
    """Before and after so many sagas were put to sleep in the same table."""
    async with orchestrator(server.dsn, in_flight=_IN_FLIGHT) as running:
        handle = running.register("bench", sequence(STEPS))
        before = median([await _speed(handle) for _ in range(rounds)])
        observer = await asyncpg.connect(server.dsn)
        # Copies of one saga that has ended, as if each waited for a retry next year.
        await observer.execute(
            """
            INSERT INTO saga_fn.saga (
                shard, era, id, name, version, trace_id, request, plan, format, status, waits, state, rev, due_at
            )
            SELECT shard, era, gen_random_uuid(), name, version, trace_id, request, plan, format, 'SUSPENDED', 1, state, rev,
                now() + make_interval(days => 365, secs => n)
            FROM (SELECT * FROM saga_fn.saga LIMIT 1) AS one, generate_series(1, $1::bigint) AS n
            """,
            count,
        )
        await observer.execute("CHECKPOINT")
        await observer.close()
        after = median([await _speed(handle) for _ in range(rounds)])
    _compare(report, f"{count:,} sleeping sagas", before, after)


async def open_transaction(server: EmbeddedPostgres, report: Report, *, seconds: int, rounds: int) -> None:
    """While another session holds the horizon back, so that nothing dead can be cleaned up."""
    async with orchestrator(server.dsn, in_flight=_IN_FLIGHT) as running:
        handle = running.register("bench", sequence(STEPS))
        before = median([await _speed(handle) for _ in range(rounds)])
        holder = await asyncpg.connect(server.dsn)
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await holder.fetchval("SELECT count(*) FROM saga_fn.saga")
        end = asyncio.get_running_loop().time() + seconds
        during: list[float] = []
        while asyncio.get_running_loop().time() < end or len(during) < rounds:
            during.append(await _speed(handle))
        await holder.close()
    _compare(report, f"at the end of {seconds} s with a transaction open", before, median(during[-rounds:]))


async def locked_row(server: EmbeddedPostgres, report: Report, *, seconds: int) -> None:
    """While another session locks the row of one saga that has a step's result to write, for two leases."""
    hold = asyncio.Event()

    async def held(inp: Data) -> Data:
        await hold.wait()
        return inp

    builder = SagaBuilder(Data)
    output = builder.add_step(step(held), depends_on=builder.initial)
    lost = _Lost()
    async with orchestrator(server.dsn, in_flight=2 * _IN_FLIGHT) as running:
        handle = running.register("bench", sequence(STEPS))
        victims = running.register("held", builder.build(output=output))
        runs = await victims.start_many([Data()] * _IN_FLIGHT)
        before = await _latency(handle, seconds / 6)
        stranger = await asyncpg.connect(server.dsn)
        await stranger.execute("BEGIN")
        await stranger.execute("SELECT 1 FROM saga_fn.saga WHERE id = $1 FOR UPDATE", runs[0].id)
        logging.getLogger("saga_fn").addHandler(lost)
        half = await _latency(handle, seconds / 2)  # the leases of all those that hang are renewed meanwhile
        hold.set()  # one batch with all of their results, one of them for the locked row
        for run in runs[1:]:
            await run.outcome(seconds)
        rest = await _latency(handle, seconds / 2)
        await stranger.execute("ROLLBACK")
        await runs[0].outcome(seconds)
        after = await _latency(handle, seconds / 6)
        logging.getLogger("saga_fn").removeHandler(lost)
        await stranger.close()
    report.table(
        f"A row locked by a stranger for {seconds} s, {STEPS} steps, {_IN_FLIGHT} in flight",
        ["when", "p50 ms", "p99 ms"],
        [
            ["before", *before],
            ["its step still runs", *half],
            ["its result waits for the row", *rest],
            ["after", *after],
            ["leases lost", lost.leases, None],
        ],
    )


class _Lost(logging.Handler):
    """Counts the leases of which the library says that they ran out."""

    leases = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if "ran out" in str(record.msg) and isinstance(record.args, tuple) and isinstance(record.args[0], int):
            self.leases += record.args[0]


async def _latency(handle: SagaHandle[Data, Data], seconds: float) -> tuple[float, float]:
    """The medians, over several measurements, of p50 and p99."""
    end = asyncio.get_running_loop().time() + seconds
    found = [await measure(handle, in_flight=_IN_FLIGHT, sagas=2500)]
    while asyncio.get_running_loop().time() < end:
        found.append(await measure(handle, in_flight=_IN_FLIGHT, sagas=2500))
    return median([each.p50 for each in found]), median([each.p99 for each in found])


def _compare(report: Report, what: str, before: float, after: float) -> None:
    report.table(
        f"Under pressure, {STEPS} steps, {_IN_FLIGHT} in flight",
        ["what", "sagas/s before", "sagas/s then", "change"],
        [[what, before, after, f"{after / before - 1:+.1%}"]],
    )


async def _speed(handle: SagaHandle[Data, Data]) -> float:
    await measure(handle, in_flight=_IN_FLIGHT, sagas=500)
    return (await measure(handle, in_flight=_IN_FLIGHT, sagas=5000)).per_second
