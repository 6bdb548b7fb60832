"""The owner of a saga as operators see it."""

from __future__ import annotations

from collections.abc import Sequence

from saga_fn.engine.engine import SagaEngine
from saga_fn.snapshot import SagaOwner
from saga_fn.store.records import JournalRecord, SagaRecord


async def owner_of(engine: SagaEngine, row: SagaRecord, entries: Sequence[JournalRecord]) -> SagaOwner | None:
    """The process that has claimed the saga, or None. The last entries of its journal name one that is not known any more."""
    if row.owner is None or row.due_at is None:
        return None
    seen = await engine.store.processes.find(row.owner)
    told = next((each.process for each in reversed(entries) if each.process is not None), None)
    return SagaOwner(
        row.owner,
        told if seen is None else seen.process,
        None if seen is None else seen.seen_at,
        row.due_at,
        is_gone=not row.leased,
    )
