"""Processes that share a directory of the Prometheus client: `work N` runs so many sagas, `collect` reads all of it."""

from __future__ import annotations

import asyncio
import json
import sys

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from saga_fn import MemoryStore, SagaOrchestrator
from saga_fn.observe import SagaEnded, StatsRead
from saga_fn.prometheus import collector
from tests.support.observed import Observed
from tests.support.shop import Order, Shop, make_saga


async def work(sagas: int) -> None:
    """Run so many sagas, and tell of them."""
    async with SagaOrchestrator(MemoryStore(), instruments=[collector()]) as orchestrator:
        told = Observed(orchestrator)
        handle = orchestrator.register("shop", make_saga(Shop()))
        for number in range(sagas):
            await handle.start(Order(str(number)))
        await told.until(SagaEnded, times=sagas)
        await told.until(StatsRead)


def collect() -> None:
    """Add up what all processes have told, and print it."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the client library says nothing of it
    sums: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    print(json.dumps(sums))


if __name__ == "__main__":
    if sys.argv[1] == "work":
        asyncio.run(work(int(sys.argv[2])))
    else:
        collect()
