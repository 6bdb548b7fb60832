"""A worker process: claims due sagas, runs their steps, and can be killed at any moment.

Started by the demo as `python -m saga_fn.demo.worker`; the DSN is in `SAGA_FN_DSN`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from datetime import timedelta

import httpx

from saga_fn import SagaOrchestrator
from saga_fn.demo.cards import thank_customer
from saga_fn.demo.processes import stop_with_parent
from saga_fn.demo.saga import make_fulfil_order

LEASE = timedelta(seconds=3)
"""How long the sagas of a killed worker wait until another takes them over. Renewed while the worker lives."""

CONCURRENCY = 16
"""Sagas that one worker has in hand at a time."""


async def work(name: str, dsn: str, schema: str, services_url: str) -> None:
    """Run sagas until a signal says to stop."""
    async with httpx.AsyncClient(base_url=services_url, headers={"Worker": name}) as http:
        orchestrator = SagaOrchestrator(dsn, schema=schema, concurrency=CONCURRENCY, lease=LEASE)
        orchestrator.register(make_fulfil_order(http))
        orchestrator.register(thank_customer)
        async with orchestrator:
            await orchestrator.run_forever()


def main() -> None:
    """Run one worker."""
    parser = argparse.ArgumentParser(prog="python -m saga_fn.demo.worker", description=__doc__)
    parser.add_argument("--name", required=True, help="how the services know this worker")
    parser.add_argument("--schema", required=True, help="where the sagas are")
    parser.add_argument("--services", required=True, metavar="URL", help="where the services are")
    options = parser.parse_args()
    stop_with_parent()
    asyncio.run(work(options.name, os.environ["SAGA_FN_DSN"], options.schema, options.services))


if __name__ == "__main__":
    main()
