"""start_many: sagas a second that become durable."""

from __future__ import annotations

import time

from saga_fn import SagaOrchestrator
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, median
from tests.bench.sagas import STEPS, Data, sequence


async def run(server: EmbeddedPostgres, report: Report, *, sagas: int, rounds: int) -> None:
    """Into a process that runs none of them."""
    async with SagaOrchestrator(server.dsn, migrate=True, concurrency=0) as running:
        handle = running.register("bulk", sequence(STEPS))
        await handle.start_many(Data() for _ in range(1000))
        speeds: list[float] = []
        for _ in range(rounds):
            begun = time.perf_counter()
            await handle.start_many(Data() for _ in range(sagas))
            speeds.append(sagas / (time.perf_counter() - begun))
    report.table(f"start_many, median of {rounds}", ["sagas", "sagas/s"], [[f"{sagas:,}", median(speeds)]])
