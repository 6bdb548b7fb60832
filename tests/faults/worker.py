"""A worker process for the crash tests: `python -m tests.faults.worker DSN [POINT EVENT:STEP MANY]`.

With POINT it kills itself there, see `tests.faults.death`, or survives. Such a one keeps its leases though it has to wait for a
processor: whatever was begun twice was begun twice because a process had died. `Stage` ends the leases of the dead.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import asyncpg

from saga_fn import SagaOrchestrator
from tests.faults.death import SURVIVES, die_at
from tests.faults.ledger import Ledger, name_of
from tests.faults.sagas import Sagas


async def main(dsn: str, point: str = "", where: str = ":", many: str = "1") -> None:
    """Work until SIGTERM, or until that point."""
    event, _, step_id = where.partition(":")
    directions = {"StepSucceeded": "execute", "ProbeAnswered": "probe"}
    name = name_of(step_id, directions.get(event, "compensate"))
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        lease = timedelta(seconds=15 if point else 1)  # of one without a point it is not known when it dies
        orchestrator = SagaOrchestrator(
            dsn, concurrency=128, lease=lease, poll_interval=timedelta(milliseconds=100), pool_size=2
        )
        together = (name, int(many)) if point in ("before", "in", "after") else ("", 1)
        Sagas(orchestrator, Ledger(pool, together))
        if point not in ("", SURVIVES):
            die_at(orchestrator.engine.store, point, event, step_id, int(many))
        await orchestrator.run_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
