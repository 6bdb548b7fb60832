"""Waiting for the end of one saga, and reading what it was."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from saga_fn import steady
from saga_fn.arguments import check_id, seconds_to_wait
from saga_fn.core.facts import is_final
from saga_fn.definition import SagaDefinition
from saga_fn.engine.attendance import has_workers
from saga_fn.engine.claims import drive_one
from saga_fn.engine.drive.owned_saga import OwnedSaga
from saga_fn.engine.engine import SagaEngine
from saga_fn.engine.requests.rows import read_row
from saga_fn.engine.views.endings import Seen, ending_of, look_closer, timed_out
from saga_fn.engine.views.results import check_name
from saga_fn.engine.views.snapshots import snapshot_of
from saga_fn.errors import SagaError, SagaParkedError, SagaStateError
from saga_fn.snapshot import Outcome
from saga_fn.store.records import SagaRecord, time_of

R = TypeVar("R")

LONGEST_POLL: Final = 1.0
"""Seconds between two looks at what may have changed."""
_FIRST_LOOK: Final = 1.0
"""Seconds."""
_UNATTENDED: Final = 1.0
"""Seconds within which an orchestrator has to begin to work on a saga in a MemoryStore, when a caller awaits it."""
_LAST_LOOK: Final = 0.3
"""Seconds before the end of a wait at which the saga is read once more; for a short wait `_LAST_PART` of its time."""
_LAST_PART: Final = 0.25
_SHORT: Final = 0.02
"""Seconds of a wait that has one look alone."""


async def end_of(
    engine: SagaEngine,
    saga_id: UUID,
    live: OwnedSaga | None,
    timeout: timedelta | float | None,
    *,
    name: str,
    wait_parked: bool = False,
) -> OwnedSaga | None:
    """Return when the saga has ended: with what this process has seen of it, or None if that stands in the store.

    The time for reading the row counts, but for the first look, which always has a second. Raises SagaNotFoundError, also for
    a saga of another `name`, SagaResultTimeoutError, and SagaParkedError unless `wait_parked`.
    """
    engine.gate.require_open()
    check_id(saga_id)
    seconds = None if timeout is None else seconds_to_wait(timeout)
    began = engine.ends.now()
    if live is not None and not is_final(live.state) and saga_id in engine.held and engine.gate.is_attended():
        # The usual way, which leaves as few objects as can be to those who wait in their thousands.
        first = _first_look(seconds)
        told = engine.ends.expect(saga_id, first, parked=wait_parked)
        try:
            live = await told
        finally:
            engine.ends.forget(saga_id, told, first)
    if live is not None and is_final(live.state):
        return live
    seen = Seen()
    give_up = math.inf if seconds is None else began + seconds
    for until in _looks(began, give_up, seconds):
        try:
            while live is None or not is_final(live.state):
                held = engine.held.get(saga_id)
                if held is None or held.saga.registered.name != name:
                    latest = until if seen.row is not None else max(until, began + _FIRST_LOOK)
                    async with asyncio.timeout(latest - engine.ends.now() if until < math.inf else None):
                        seen.row = row = await read_row(engine, saga_id)
                        check_name(row, name)
                        if row.ended_at is not None:
                            return None
                        if not wait_parked and row.is_parked:
                            raise SagaParkedError(saga_id, snapshot=await snapshot_of(engine, row))
                        if until == give_up < math.inf:
                            await look_closer(engine, seen)
                live = await _told(engine, saga_id, until, parked=wait_parked)
        except TimeoutError:
            continue
        return live
    raise timed_out(engine, saga_id, seconds or 0.0, seen)


def _looks(began: float, give_up: float, seconds: float | None) -> tuple[float, ...]:
    """Until when each look at the saga lasts: the last one, shortly before the end, tells what the saga waits for then."""
    if seconds is None or seconds < _SHORT:
        return (give_up,)
    return began + _first_look(seconds), give_up


def _first_look(seconds: float | None) -> float:
    """How long the first look lasts, in seconds."""
    if seconds is None:
        return math.inf
    return seconds if seconds < _SHORT else seconds - min(seconds * _LAST_PART, _LAST_LOOK)


async def _told(engine: SagaEngine, saga_id: UUID, give_up: float, *, parked: bool) -> OwnedSaga | None:
    """Wait for the end, until that moment of the clock of such waits; then raises TimeoutError.

    Raises SagaStateError if nothing works on the saga: no other process can go on with what is in memory.
    """
    while engine.store.attendants is not None and not has_workers(engine.store):
        left = give_up - engine.ends.now()
        try:
            return await engine.ends.wait(saga_id, min(_UNATTENDED, left), parked=parked)
        except TimeoutError:
            if left <= _UNATTENDED:
                raise
            if engine.gate.is_attended():
                continue
            raise SagaStateError(
                f"nothing works on saga {saga_id}: no worker of its {type(engine.store).__name__} runs",
                saga_id=saga_id,
                hint="await it inside of `async with orchestrator:`, or after orchestrator.run_until_idle() in a test; "
                "`run_until_idle(past_waits=True)` goes on where an event is waited for",
            ) from None
    return await engine.ends.wait(saga_id, give_up - engine.ends.now(), parked=parked)


async def outcome_of(
    engine: SagaEngine, saga_id: UUID, live: OwnedSaga | None, definition: SagaDefinition[Any, R]
) -> Outcome[R]:  # Any: what it was started with does not matter any more
    """How a saga ended that has; `live` if it did so here."""
    if live is not None:
        return await ending_of(engine, live, definition)
    row = await read_row(engine, saga_id)
    try:
        return await ending_of(engine, row, definition)
    except SagaError:
        await read_row(engine, saga_id)  # raises SagaDeletedError if that is why
        raise


async def drive_to_end(engine: SagaEngine, saga_id: UUID, timeout: timedelta | float | None) -> None:
    """Work on this saga in the caller's coroutine, through its waits, until it ends or only a person can help.

    Raises SagaResultTimeoutError.
    """
    seconds = None if timeout is None else seconds_to_wait(timeout)
    give_up = math.inf if seconds is None else steady.now() + seconds
    row: SagaRecord | None = None
    while steady.now() < give_up:
        if row is None or row.due_at is not None:  # else it waits for an event, and a claim would be in vain
            await drive_one(engine, saga_id)
        row = await read_row(engine, saga_id)
        if row.ended_at is not None or (row.is_parked and row.due_at is None):
            return
        wait = LONGEST_POLL if row.due_at is None else (row.due_at - time_of(row.now)).total_seconds()
        await asyncio.sleep(max(0.0, min(wait, LONGEST_POLL, give_up - steady.now())))
    if row is not None:
        seen = Seen(row)
        await look_closer(engine, seen)
        raise timed_out(engine, saga_id, seconds or 0.0, seen)
