"""A process that starts sagas with keys, one of which another process holds: `python -m tests.faults.keyed DSN COUNT`.

It asks for the held key once, in the middle of the others, and prints what came of each.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta

import asyncpg

from saga_fn import SagaHandle, SagaOrchestrator, StartBusyError
from tests.faults.ledger import Job, Ledger
from tests.faults.sagas import Sagas

HELD = "held"


async def _start(jobs: SagaHandle[Job, Job], key: str) -> str:
    try:
        run = await jobs.start(Job(), idempotency_key=key, aggregation_id=key)
    except StartBusyError as error:
        return "aborted" if error.aborted else "busy"
    return "created" if run.created else "there"


async def main(dsn: str, count: int) -> None:
    """Start the held one, and meanwhile all others, one after another and many at once."""
    async with (
        asyncpg.create_pool(dsn, min_size=1) as pool,
        SagaOrchestrator(dsn, concurrency=0, key_wait=timedelta(seconds=1)) as orchestrator,
    ):
        jobs = Sagas(orchestrator, Ledger(pool)).jobs
        held = asyncio.create_task(_start(jobs, HELD))
        others = [await _start(jobs, f"one {number}") for number in range(count)]
        others += await asyncio.gather(*(_start(jobs, f"many {number}") for number in range(count)))
        json.dump({"held": await held, "others": others}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
