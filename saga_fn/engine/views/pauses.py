"""A pause as operators see it."""

from __future__ import annotations

from saga_fn.snapshot import Pause
from saga_fn.store.records import PauseRecord


def pause_of(record: PauseRecord) -> Pause:
    """The pause, of a name or of everything."""
    return Pause(record.name or None, record.since, record.actor, record.reason)
