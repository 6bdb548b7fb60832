"""Waiting for a fact, and for how long a test has patience."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from saga_fn import SagaResultTimeoutError, SagaRun, SagaStatus, WaitReason
from saga_fn.engine.requests.rows import read_row
from saga_fn.store.records import SagaRecord

SOON = 30.0
"""Seconds that nothing takes, but on a machine that does not move."""


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds."""
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.002)


async def suspended(run: SagaRun[object]) -> None:
    """Return as soon as the saga waits, and does so until a person or something else acts.

    A retry that comes within the test's own patience is no such wait. Who takes it for one takes it, on some
    machines, for the wait of a person that comes after it. A test that means such a retry says `retrying`.
    """
    await _read_as(run, _rests)


async def retrying(run: SagaRun[object]) -> None:
    """Return as soon as the saga waits for the next attempt of a step, which may be over when the caller goes on."""
    await _read_as(run, lambda row: WaitReason.RETRY in row.waits)


async def told_late(
    run: SagaRun[Any], told: str, timeout: float = 0.1, *, wait_parked: bool = False
) -> SagaResultTimeoutError:  # Any: its result does not matter
    """Wait for too short a time, again and again, until the error tells it: a busy server may not answer in that time."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                await run.result(timeout, wait_parked=wait_parked)
            except SagaResultTimeoutError as late:
                if re.search(told, str(late)):
                    return late
            else:
                raise AssertionError("it has ended")


async def _read_as(run: SagaRun[object], wanted: Callable[[SagaRecord], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not wanted(await read_row(run._engine, run.id)):  # pyright: ignore[reportPrivateUsage]  # a snapshot has no due
            await asyncio.sleep(0.005)


def _rests(row: SagaRecord) -> bool:
    if row.status is not SagaStatus.SUSPENDED or WaitReason.RETRY not in row.waits:
        return row.status is SagaStatus.SUSPENDED
    return row.due_at is None or row.due_at - row.updated_at > timedelta(seconds=SOON)
