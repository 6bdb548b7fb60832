"""A caller's transaction that stays open: everybody else's latency before, meanwhile and after."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import count

import asyncpg

from saga_fn import Event, SagaBuilder, SagaHandle, SagaOrchestrator, StartBusyError
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report
from tests.bench.sagas import STEPS, Data, orchestrator, sequence

_IN_FLIGHT = 50
_HELD = "held"
_EVERY = 1.0
"""Seconds between two starts with the key that the open transaction holds."""
_told = Event("told", Data)


async def run(server: EmbeddedPostgres, report: Report, *, seconds: int) -> None:
    """While a transaction has started sagas with keys and sent to a waiting one, others start, run and send.

    The server fills no new segment of WAL with zeros. Else all commits stand still meanwhile, each 16 MB, until a checkpoint leaves
    it old segments to use again: from some 20 seconds after its start on, with an open transaction or without.
    """
    async with _no_zeros(server.dsn):
        await _run(server, report, seconds=seconds)


@asynccontextmanager
async def _no_zeros(dsn: str) -> AsyncGenerator[None]:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("ALTER SYSTEM SET wal_init_zero = off")
        await connection.execute("SELECT pg_reload_conf()")
        yield
        await connection.execute("ALTER SYSTEM RESET wal_init_zero")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


async def _run(server: EmbeddedPostgres, report: Report, *, seconds: int) -> None:
    async with (
        orchestrator(server.dsn, in_flight=4 * _IN_FLIGHT) as others,
        SagaOrchestrator(server.dsn, concurrency=0) as caller,
    ):
        handle = others.register("bench", sequence(STEPS))
        builder = SagaBuilder(Data)
        waiting = others.register("waiting", builder.build(output=builder.add_event(_told)))
        callers = caller.register("bench", handle.definition)
        number = count()
        first = await _measured(others, handle, waiting, number, seconds / 3)
        connection = await asyncpg.connect(server.dsn)
        before = await _measured(others, handle, waiting, number, seconds / 3)
        transaction = connection.transaction()
        await transaction.start()
        await callers.start(Data(), idempotency_key=_HELD, aggregation_id=_HELD, connection=connection)
        for key in range(100):
            to = caller.to(("waiting", f"open {key}"), _told, may_be_new=True)
            await to.send(Data(), event_id=_HELD, connection=connection)
        busy = asyncio.create_task(_keeps_asking(handle))
        during = await _measured(others, handle, waiting, number, seconds)
        busy.cancel()
        await transaction.rollback()
        after = await _measured(others, handle, waiting, number, seconds / 3)
        await connection.close()
    report.table(
        f"A caller's transaction open for {seconds} s, {_IN_FLIGHT} in flight",
        ["when", "keyed saga p50 ms", "p99 ms", "send p50 ms", "p99 ms"],
        [["in a new store", *first], ["before", *before], ["meanwhile", *during], ["after", *after]],
    )


async def _keeps_asking(handle: SagaHandle[Data, Data]) -> None:
    """A client that sends again and again the request whose key the open transaction holds."""
    while True:
        try:
            await handle.start(Data(), idempotency_key=_HELD, aggregation_id=_HELD)
        except StartBusyError:
            await asyncio.sleep(_EVERY)


async def _measured(
    others: SagaOrchestrator,
    handle: SagaHandle[Data, Data],
    waiting: SagaHandle[Data, Data],
    number: count[int],
    seconds: float,
) -> tuple[float, float, float, float]:
    """Median and p99, in milliseconds, of a saga with keys from its start to its end, and of an event that a saga takes."""
    end = time.monotonic() + seconds
    ran: list[float] = []
    sent: list[float] = []

    async def timed(took: list[float], work: Callable[[], Awaitable[object]]) -> None:
        begun = time.perf_counter()
        await work()
        took.append((time.perf_counter() - begun) * 1e3)

    async def saga() -> None:
        key = f"key {next(number)}"
        run = await handle.start(Data(), idempotency_key=key, aggregation_id=key)
        await run.result(timedelta(minutes=5))

    async def send(key: str) -> None:
        await others.to(("waiting", key), _told).send(Data(), event_id=key)

    async def runs() -> None:
        while time.monotonic() < end:
            await timed(ran, saga)

    async def sends() -> None:
        while time.monotonic() < end:
            key = f"key {next(number)}"
            await waiting.start(Data(), aggregation_id=key)
            await timed(sent, partial(send, key))

    await asyncio.gather(*(runs() for _ in range(_IN_FLIGHT)), *(sends() for _ in range(_IN_FLIGHT // 10)))
    return (*_parts(ran), *_parts(sent))


def _parts(took: list[float]) -> tuple[float, float]:
    parts = statistics.quantiles(took, n=100, method="inclusive")
    return parts[49], parts[98]
