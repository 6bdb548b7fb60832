"""A process that carries out operations on many sagas, for tests that kill it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from saga_fn import SagaOrchestrator
from saga_fn.engine.requests.bulk import carry_on


async def main(dsn: str) -> None:
    """Carry out what there is, until it is killed."""
    async with SagaOrchestrator(dsn, concurrency=0, lease=timedelta(seconds=1)) as orchestrator:
        while True:
            await carry_on(orchestrator.engine)
            await asyncio.sleep(0.02)
