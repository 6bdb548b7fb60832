"""Lists of sagas in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import final
from uuid import UUID

from saga_fn.snapshot import SagaRow
from saga_fn.store.listing import Listing
from saga_fn.store.protocol import Store
from saga_fn.store.records import SagaRecord


@final
class MemoryLists:
    """Pages of sagas."""

    def __init__(
        self,
        store: Store,
        sagas: Callable[[], Iterable[SagaRecord]],
        attributes: Callable[[UUID], Mapping[str, str]],
    ) -> None:
        """`sagas` gives the rows of all sagas in the store, `attributes` the search attributes of one."""
        self._store = store
        self._sagas = sagas
        self._attributes = attributes

    async def page(self, asked: Listing) -> list[SagaRow]:
        """The rows of one page, in order."""
        now = self._store.now()
        key = asked.wanted.attribute or ""
        rows = [row for row in map(_row_of, self._sagas()) if asked.has(row, now, self._attributes(row.id).get(key))]
        rows.sort(key=asked.place_of, reverse=not asked.wanted.oldest_first)
        return rows[: asked.most]

    async def attributes(self, saga_id: UUID) -> dict[str, str]:
        """The search attributes of a saga."""
        return dict(sorted(self._attributes(saga_id).items()))

    async def knows_values(self, name: str | None, key: str, span: tuple[str, str]) -> bool:
        """Whether a saga has a value of that attribute from the first of these texts on and before the second."""
        values = [self._attributes(row.id).get(key) for row in self._sagas() if name in (None, row.name)]
        return any(value is not None and span[0] <= value < span[1] for value in values)


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
