"""A process that archives and deletes sagas, and kills itself where it is told: `main` begins it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from saga_fn import ArchivedSaga, JsonlArchive, Retention, SagaAdmin, SagaOrchestrator
from saga_fn.engine.hold import deleting

SOME = 3
"""Sagas of one batch."""
NAME = "order"


def die() -> NoReturn:
    """End as by SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def retention(path: str, point: str, after: int) -> Retention:
    """A retention whose archive kills its process at that point of its batch number `after`."""
    file, batches = JsonlArchive(path), 0

    async def archive(sagas: Sequence[ArchivedSaga]) -> None:
        nonlocal batches
        batches += 1
        if point == "before" and batches == after:
            die()
        if point == "half-way" and batches == after:
            with Path(path).open("a") as torn:
                torn.write(sagas[0].to_json()[:40])
            die()
        await file(sagas)
        if point == "archived" and batches == after:
            die()
        if point == "deleting" and batches == after:
            asyncio.get_running_loop().call_later(0.3, die)  # the test keeps the statement waiting for longer

    return Retention(completed=timedelta(hours=1), archive=archive)


async def main(dsn: str, path: str, point: str, after: str) -> None:
    """Delete all that may be deleted."""
    deleting.ARCHIVED_AT_ONCE = SOME  # type: ignore[misc]  # it is final for all but this program
    async with SagaOrchestrator(dsn, concurrency=0) as orchestrator:
        await SagaAdmin(orchestrator).prune(NAME, version=1, retention=retention(path, point, int(after)))
