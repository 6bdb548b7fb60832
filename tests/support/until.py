"""Waiting for a fact, and for how long a test has patience."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from saga_fn import SagaRun, SagaStatus

SOON = 30.0
"""Seconds that nothing takes, but on a machine that does not move."""


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds."""
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.002)


async def suspended(run: SagaRun[object]) -> None:
    """Return as soon as the saga waits, for a retry or a person."""
    async with asyncio.timeout(SOON):
        while (await run.snapshot()).status is not SagaStatus.SUSPENDED:
            await asyncio.sleep(0.005)
