"""start_many: sagas a second that become durable."""

from __future__ import annotations

import time

from saga_fn import SagaOrchestrator
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.sagas import Data, sequence
from tests.bench.throughput import STEPS


async def run(server: EmbeddedPostgres, *, sagas: int) -> None:
    """Into a process that runs none of them."""
    async with SagaOrchestrator(server.dsn, migrate=True, concurrency=0) as running:
        handle = running.register("bulk", sequence(STEPS))
        await handle.start_many(Data() for _ in range(1000))
        begun = time.perf_counter()
        await handle.start_many(Data() for _ in range(sagas))
        took = time.perf_counter() - begun
    print(f"\nstart_many of {sagas:,}: {sagas / took:,.0f} sagas/s")
