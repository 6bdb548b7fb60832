"""Pauses as operators see them."""

from __future__ import annotations

from saga_fn.core.state import SagaState
from saga_fn.engine.drive.asked import Asked, asked_in
from saga_fn.engine.engine import SagaEngine
from saga_fn.snapshot import Pause
from saga_fn.store.records import PauseRecord, SagaRecord, time_of


def pause_of(record: PauseRecord) -> Pause:
    """The pause, of a name or of everything."""
    return Pause(record.name or None, record.since, record.actor, record.reason)


async def pauses_of(engine: SagaEngine, row: SagaRecord, state: SagaState | None) -> tuple[Pause, ...]:
    """The pauses that a saga is under, the oldest first. One that has ended is under none. `state`: None if it cannot be read."""
    if row.ended_at is not None:
        return ()
    found = await pauses_by_name(engine, row)
    own = None if state is None else await _own(engine, row, state)
    return found if own is None else tuple(sorted((*found, own), key=lambda pause: pause.since))


async def pauses_by_name(engine: SagaEngine, row: SagaRecord) -> tuple[Pause, ...]:
    """The pauses of the saga's name, and of everything."""
    return tuple(pause_of(each) for each in await engine.store.pauses.read() if each.holds(row.name))


async def _own(engine: SagaEngine, row: SagaRecord, state: SagaState) -> Pause | None:
    """The pause of the saga itself, with who and why as its journal has them."""
    pause = state.pause
    if pause is None or pause.since is None:
        return None
    entries = await engine.store.journal(row.id, after=pause.seq - 1, last=pause.seq, most=1)
    asked = asked_in(entries[0].input) if entries else Asked()
    return Pause(row.name, time_of(pause.since), asked.actor, asked.reason, row.id)
