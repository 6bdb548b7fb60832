"""Lists of sagas in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, final
from uuid import UUID

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.snapshot import SagaRow
from saga_fn.store.listing import Listing
from saga_fn.store.memory_processes import MemoryProcesses
from saga_fn.store.protocol import Store
from saga_fn.store.records import MOST_IN_STATS, Counted, CountKind, SagaRecord, time_of

_MINUTE: Final = timedelta(minutes=1)


@final
class MemoryLists:
    """Pages of sagas."""

    def __init__(
        self,
        store: Store,
        sagas: Callable[[], Iterable[SagaRecord]],
        attributes: Callable[[UUID], Mapping[str, str]],
        processes: MemoryProcesses,
    ) -> None:
        """`sagas` gives the rows of all sagas in the store, `attributes` the search attributes of one."""
        self._processes = processes
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

    async def attributes(self, saga_ids: Sequence[UUID]) -> dict[UUID, dict[str, str]]:
        """The search attributes of these sagas."""
        return {saga_id: dict(sorted(self._attributes(saga_id).items())) for saga_id in saga_ids}

    async def knows_values(self, name: str | None, key: str, span: tuple[str, str]) -> bool:
        """Whether a saga has a value of that attribute from the first of these texts on and before the second."""
        values = [self._attributes(row.id).get(key) for row in self._sagas() if name in (None, row.name)]
        return any(value is not None and span[0] <= value < span[1] for value in values)

    async def stats(self, *, overdue: timedelta, seen_within: timedelta, ends_since: Moment | None) -> list[Counted]:
        """Numbers about all sagas."""
        now = time_of(self._store.now())
        numbers: Counter[Counted] = Counter()
        due: dict[tuple[str, int], list[datetime]] = {}
        for row in self._sagas():
            of = Counted(kind=CountKind.LIVE, name=row.name, version=row.version)
            if row.ended_at is None:
                numbers[msgspec.structs.replace(of, status=row.status, waits=row.waits)] += 1
            elif ends_since is not None and (row.ended_at >= (since := time_of(ends_since))):
                minute = (row.ended_at - since) // _MINUTE
                numbers[msgspec.structs.replace(of, kind=CountKind.ENDED, status=row.status, minute=minute)] += 1
            if row.has_failed:
                numbers[msgspec.structs.replace(of, kind=CountKind.FAILED)] += not row.acknowledged
            if row.due_at is not None and row.due_at <= now:
                due.setdefault((row.name, row.version), []).append(row.due_at)
        for (name, version), processes in self._processes.working_on(seen_within=seen_within).items():
            numbers[Counted(kind=CountKind.WORKS, name=name, version=version)] = processes
        found = [msgspec.structs.replace(of, sagas=min(sagas, MOST_IN_STATS)) for of, sagas in numbers.items()]
        for (name, version), moments in due.items():
            late = sum(moment <= now - overdue for moment in moments)
            found.append(Counted(kind=CountKind.OVERDUE, name=name, version=version, sagas=late, moment=min(moments)))
        paused = await self._store.pauses.read()
        return [
            Counted(kind=CountKind.NOW, moment=now),
            *found,
            *(Counted(kind=CountKind.PAUSED, name=pause.name) for pause in paused),
        ]


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
