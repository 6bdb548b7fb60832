"""A process that starts sagas and works on none: `python -m tests.faults.starter DSN COUNT`.

It starts as many by an idempotency key and as many by a business key, in an order of its own, and prints what came of it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any

import asyncpg

from saga_fn import ActiveSagaAlreadyExistsError, SagaHandle, SagaOrchestrator
from tests.faults.ledger import Job, Ledger
from tests.faults.sagas import Sagas


async def _active(jobs: SagaHandle[Job, Job], number: int) -> bool:
    try:
        await jobs.start(Job(), aggregation_id=f"order-{number}")
    except ActiveSagaAlreadyExistsError:
        return False
    return True


async def main(dsn: str, count: int) -> None:
    """Start them all at once."""
    order = random.sample(range(count), count)
    async with asyncpg.create_pool(dsn, min_size=1) as pool, SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        jobs = Sagas(orchestrator, Ledger(pool)).jobs
        runs, active = await asyncio.gather(
            asyncio.gather(*(jobs.start(Job(), idempotency_key=f"key-{number}") for number in order)),
            asyncio.gather(*(_active(jobs, number) for number in order)),
        )
        by_number = dict(zip(order, zip(runs, active, strict=True), strict=True))
    told: dict[str, list[Any]] = {"by_key": [], "created": [], "active": []}  # Any: JSON
    for number in range(count):
        run, was_active = by_number[number]
        told["by_key"].append(str(run.id))
        told["created"].append(int(run.created))
        told["active"].append(int(was_active))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
