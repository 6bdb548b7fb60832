"""Lists of sagas in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import final

from saga_fn.snapshot import SagaRow
from saga_fn.store.listing import Listing
from saga_fn.store.protocol import Store
from saga_fn.store.records import SagaRecord


@final
class MemoryLists:
    """Pages of sagas."""

    def __init__(self, store: Store, sagas: Callable[[], Iterable[SagaRecord]]) -> None:
        """`sagas` gives the rows of all sagas in the store."""
        self._store = store
        self._sagas = sagas

    async def page(self, asked: Listing) -> list[SagaRow]:
        """The rows of one page, in order."""
        now = self._store.now()
        rows = [row for row in map(_row_of, self._sagas()) if asked.has(row, now)]
        rows.sort(key=asked.place_of, reverse=not asked.wanted.oldest_first)
        return rows[: asked.most]


def _row_of(row: SagaRecord) -> SagaRow:
    return SagaRow(
        id=row.id,
        saga_name=row.name,
        version=row.version,
        revision=row.rev,
        aggregation_id=row.aggregation_id,
        trace_id=row.trace_id,
        status=row.status,
        waits=row.waits,
        parked=row.parked,
        problem_step=row.problem_step,
        acknowledged=row.acknowledged,
        last_error=row.last_error,
        retry_counter=row.retry_counter,
        deadline_at=row.due_at,
        is_owned=row.owner is not None,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at,
    )
