"""Waiting for the end of one saga, and reading what it was."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from saga_fn.core.projection import SagaStatus, WaitReason, project
from saga_fn.core.state import Goal
from saga_fn.definition import SagaDefinition
from saga_fn.engine.arguments import check_id, seconds_of
from saga_fn.engine.cause import failure_of
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.live import LiveSaga
from saga_fn.engine.results import check_name, read_result, result_of
from saga_fn.engine.verbs import read_row
from saga_fn.engine.view import record_of, snapshot_of
from saga_fn.engine.worker import drive_one
from saga_fn.errors import SagaParkedError, SagaResultTimeoutError, SagaStateError
from saga_fn.snapshot import Compensated, Completed, Failed, Outcome
from saga_fn.store.records import SagaRecord, time_of

R = TypeVar("R")

LONGEST_POLL: Final = 1.0
"""Seconds between two looks at what may have changed."""
_FIRST_LOOK: Final = 1.0
"""Seconds."""
_UNATTENDED: Final = 1.0
"""Seconds that somebody has to begin to work on a saga in a MemoryStore, when somebody awaits it."""
_FOR_GOOD: Final = (Goal.COMPLETED, Goal.COMPENSATED)
"""Ends that nothing changes any more; an operator may take up a FAILED saga again."""


async def end_of(
    engine: SagaEngine,
    saga_id: UUID,
    live: LiveSaga | None,
    timeout: timedelta | float | None,
    *,
    name: str,
    wait_parked: bool = False,
) -> LiveSaga | None:
    """Return when the saga has ended: with what this process has seen of it, or None if that stands in the store.

    The time for reading the row counts, but for the first look, which always has a second. Raises SagaNotFoundError, also for
    a saga of another `name`, SagaResultTimeoutError, and SagaParkedError unless `wait_parked`.
    """
    engine.require_open()
    check_id(saga_id)
    seen: SagaRecord | None = None
    seconds = None if timeout is None else seconds_of(timeout)
    began = asyncio.get_running_loop().time()
    give_up = math.inf if seconds is None else began + seconds
    try:
        while live is None or live.state.goal not in _FOR_GOOD:
            held = engine.held.get(saga_id)
            if held is None or held.saga.registered.name != name:
                async with asyncio.timeout_at(max(give_up, began + _FIRST_LOOK) if give_up < math.inf else None):
                    seen = await read_row(engine, saga_id)
                    check_name(seen, name)
                    if seen.ended_at is not None:
                        return None
                    if not wait_parked and WaitReason.PARKED in seen.waits:
                        raise SagaParkedError(saga_id, snapshot=await snapshot_of(engine, seen))
            live = await _told(engine, saga_id, give_up, parked=wait_parked)
    except TimeoutError:
        parked = engine.ends.is_parked(saga_id) or (seen is not None and WaitReason.PARKED in seen.waits)
        status = SagaStatus.SUSPENDED if parked else _status(engine, saga_id, seen)
        raise SagaResultTimeoutError(saga_id, seconds or 0.0, status=status, parked=parked) from None
    return live


def _status(engine: SagaEngine, saga_id: UUID, seen: SagaRecord | None) -> SagaStatus | None:
    """The status as this process knows it without asking, for the time is over: a saga that it runs, or as it was last read."""
    held = engine.held.get(saga_id)
    if held is not None:
        return project(held.saga.plan, held.saga.state).status
    return None if seen is None else seen.status


async def _told(engine: SagaEngine, saga_id: UUID, give_up: float, *, parked: bool) -> LiveSaga | None:
    """Wait for the end, until that moment of the event loop; then raises TimeoutError.

    Raises SagaStateError if nothing works on the saga: what is in memory nobody else can go on with.
    """
    while not engine.is_attended():
        until = asyncio.get_running_loop().time() + _UNATTENDED
        try:
            return await engine.ends.wait(saga_id, min(until, give_up), parked=parked)
        except TimeoutError:
            if engine.is_attended():
                continue
            if give_up <= until:
                raise
            raise SagaStateError(
                f"nothing works on saga {saga_id}: no worker of its MemoryStore runs",
                saga_id=saga_id,
                hint="await it inside of `async with orchestrator:`, or after orchestrator.run_until_idle() in a test; "
                "`run_until_idle(past_waits=True)` goes on where an event is waited for",
            ) from None
    return await engine.ends.wait(saga_id, give_up, parked=parked)


async def outcome_of(
    engine: SagaEngine, saga_id: UUID, live: LiveSaga | None, definition: SagaDefinition[Any, R]
) -> Outcome[R]:  # Any: what it was started with does not matter any more
    """How a saga ended that has; `live` if it did so here."""
    row = record_of(live) if live is not None else await read_row(engine, saga_id)
    snapshot = await snapshot_of(engine, row)
    if snapshot.status == "COMPLETED":
        read = result_of(live, definition) if live is not None else await read_result(engine, row, definition)
        return Completed(read, snapshot)
    error, failure = await failure_of(engine, row, await engine.store.journal(row.id, last=row.rev))
    kind = Compensated if snapshot.status == "COMPENSATED" else Failed
    return kind(snapshot, error, failure)


async def drive_to_end(engine: SagaEngine, saga_id: UUID, timeout: timedelta | float | None) -> None:
    """Work on this saga in the caller's coroutine, through its retry delays, until it ends or waits for a person."""
    give_up = None if timeout is None else time.monotonic() + seconds_of(timeout)
    while give_up is None or time.monotonic() < give_up:
        await drive_one(engine, saga_id)
        row = await read_row(engine, saga_id)
        if row.ended_at is not None or row.due_at is None:
            return
        wait = (row.due_at - time_of(row.now)).total_seconds()
        await asyncio.sleep(max(0.0, min(wait, LONGEST_POLL)))
