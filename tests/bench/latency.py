"""The cost of one saga alone, beside the bare statements that no saga could do without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import asyncpg

from saga_fn import SagaRun
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report
from tests.bench.sagas import STEPS, Data, orchestrator, sequence

_ROUNDS = 8
_TURNS = 50


async def run(server: EmbeddedPostgres, report: Report) -> None:
    """Medians, taken in turns so that both sides see the same machine."""
    bare = await asyncpg.connect(server.dsn)
    await bare.execute("CREATE TABLE bare (id uuid PRIMARY KEY, n integer, payload bytea) WITH (fillfactor = 50)")
    payload = Data().text.encode()

    async def insert() -> None:
        await bare.execute("INSERT INTO bare VALUES ($1, 0, $2)", uuid4(), payload)

    async def commits() -> None:
        row = uuid4()
        await bare.execute("INSERT INTO bare VALUES ($1, 0, $2)", row, payload)
        for number in range(STEPS):
            await bare.execute("UPDATE bare SET n = $2, payload = $3 WHERE id = $1", row, number, payload)

    async with orchestrator(server.dsn, in_flight=16) as running:
        handle = running.register("bench", sequence(STEPS))
        started: list[SagaRun[Data]] = []

        async def start() -> None:
            started.append(await handle.start(Data()))

        async def whole() -> None:
            await (await handle.start(Data())).result(60)

        took: dict[str, list[float]] = {}
        for _ in range(_ROUNDS):
            for what in (insert, start, commits, whole):
                for _ in range(_TURNS):
                    took.setdefault(what.__name__, []).append(await _timed(what))
                    while started:  # what goes on in the background is not to slow down the next
                        await started.pop().result(60)
    await bare.close()
    medians = {name: statistics.median(times) * 1e3 for name, times in took.items()}
    report.table(
        "One at a time, medians",
        ["what", "ms", "bare statements ms", "ratio"],
        [
            ["start()", medians["start"], medians["insert"], f"{medians['start'] / medians['insert']:.2f}x"],
            [
                f"a saga of {STEPS} steps, {STEPS + 1} commits",
                medians["whole"],
                medians["commits"],
                f"{medians['whole'] / medians['commits']:.2f}x",
            ],
        ],
    )


async def _timed(what: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await what()
    return time.perf_counter() - begun
