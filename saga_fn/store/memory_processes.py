"""Who works on what, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import final
from uuid import UUID

import attrs
import msgspec

from saga_fn import steady
from saga_fn.stats import WorkingProcess
from saga_fn.store.protocol import Store
from saga_fn.store.records import (
    MOST_COUNTED,
    MOST_UNFIT,
    PAUSED_LONG,
    SILENT,
    STILL_FOR,
    Definition,
    Notice,
    Noticed,
    Process,
    SagaRecord,
    SeenProcess,
    UnfitSaga,
    time_of,
)

_SOME = 3


@attrs.frozen
class _Seen:
    process: Process
    at: float
    """By a clock of its own: the store's may be made to jump."""


@final
class MemoryProcesses:
    """The processes that work on the sagas of a store, and the sagas that no process works on."""

    def __init__(
        self, store: Store, sagas: Callable[[], Iterable[SagaRecord]], change: Callable[[SagaRecord], None]
    ) -> None:
        """`sagas` gives the rows of all sagas in the store, `change` puts a row in the place of what it was."""
        self._store = store
        self._sagas = sagas
        self._change = change
        self._seen: dict[UUID, _Seen] = {}
        self.clock: Callable[[], float] = lambda: steady.now()  # noqa: PLW0108 - the name is read at each call
        """The clock by which processes are heard of, in seconds. A test's World has them all there at all times."""

    async def note(self, process: Process) -> None:
        """Say that the process is there, and what it works on."""
        self._seen[process.id] = _Seen(process, self.clock())

    async def forget(self, process_id: UUID) -> None:
        """Forget the process."""
        self._seen.pop(process_id, None)

    async def forget_silent(self) -> int:
        """Forget those that have said nothing for long; gives how many there were."""
        before = len(self._seen)
        self._seen = {each.process.id: each for each in self._heard(SILENT)}
        return before - len(self._seen)

    async def find(self, process_id: UUID) -> SeenProcess | None:
        """Where the process runs, and when it was last seen."""
        seen = self._seen.get(process_id)
        if seen is None:
            return None
        ago = timedelta(seconds=self.clock() - seen.at)
        return SeenProcess(seen.process.process, time_of(self._store.now()) - ago)

    async def others(self, process_id: UUID, *, seen_within: timedelta) -> frozenset[Definition]:
        """The definitions that other processes work on."""
        others = (seen.process for seen in self._heard(seen_within) if seen.process.id != process_id)
        return frozenset(definition for process in others for definition in process.definitions)

    def _heard(self, within: timedelta) -> list[_Seen]:
        since = self.clock() - within.total_seconds()
        return [seen for seen in self._seen.values() if seen.at > since]

    async def seen(self, *, seen_within: timedelta, most: int) -> list[WorkingProcess]:
        """The processes that were seen within that time, the last seen first."""
        now, clock = time_of(self._store.now()), self.clock()
        heard = sorted(self._heard(seen_within), key=lambda seen: -seen.at)[:most]
        return [
            WorkingProcess(
                seen.process.id,
                seen.process.process,
                now - timedelta(seconds=clock - seen.at),
                tuple(sorted((name, version) for name, version, _ in seen.process.definitions)),
            )
            for seen in heard
        ]

    def working_on(self, *, seen_within: timedelta) -> Counter[tuple[str, int]]:
        """How many processes work on each name and version."""
        return Counter(
            pair for seen in self._heard(seen_within) for pair in {each[:2] for each in seen.process.definitions}
        )

    async def notices(self, *, seen_within: timedelta, left_behind: timedelta | None = None) -> list[Noticed]:
        """The findings for a person."""
        now = time_of(self._store.now())
        owned = {(name, version) for seen in self._heard(seen_within) for name, version, _ in seen.process.definitions}
        worked_on = {name for name, _ in owned}
        found: dict[tuple[Notice, str, int], list[UUID]] = {}
        for row in self._sagas():
            kinds: list[Notice] = []
            grace = seen_within if left_behind is None or row.name not in worked_on else left_behind
            overdue = row.due_at is not None and row.due_at <= now - grace
            if overdue and (row.name, row.version) not in owned:
                kinds.append(Notice.UNOWNED)
            leased = row.owner is not None and row.due_at is not None and row.due_at > now
            if leased and row.updated_at <= now - STILL_FOR:
                kinds.append(Notice.STILL)
            if row.is_parked:
                kinds.append(Notice.PARKED)
            if row.is_paused and row.updated_at <= now - PAUSED_LONG:
                kinds.append(Notice.PAUSED)
            if row.has_failed and not row.acknowledged:
                kinds.append(Notice.FAILED)
            for kind in kinds:
                found.setdefault((kind, row.name, row.version), []).append(row.id)
        return [Noticed(*what, min(len(ids), MOST_COUNTED), tuple(ids[:_SOME])) for what, ids in found.items()]

    async def unfit(self, definitions: Sequence[tuple[str, int]], *, after: UUID) -> list[UnfitSaga]:
        """Sagas that were parked because a plan did not fit them."""
        rows = [
            row
            for row in self._sagas()
            if row.waits_for_a_plan and row.id > after and (row.name, row.version) in definitions
        ]
        rows.sort(key=lambda row: row.id)
        return [UnfitSaga(row.id, row.name, row.version, row.plan, row.state) for row in rows[:MOST_UNFIT]]

    async def wake(self, shard: int, saga_ids: Sequence[UUID]) -> None:
        """Make those due that are still parked."""
        now = time_of(self._store.now())
        for row in list(self._sagas()):
            if row.id in saga_ids and row.owner is None and row.waits_for_a_plan:
                self._change(msgspec.structs.replace(row, due_at=now, updated_at=now))
