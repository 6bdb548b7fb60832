"""Who works on what, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, final
from uuid import UUID

from saga_fn.core.ids import PlanId
from saga_fn.stats import WorkingProcess
from saga_fn.store.database import LOCK_TIMEOUT, Database
from saga_fn.store.records import (
    FORGOTTEN_AT_ONCE,
    MOST_COUNTED,
    MOST_DEFINITIONS,
    MOST_DEFINITIONS_OF_ALL,
    MOST_PROCESSES,
    MOST_UNFIT,
    PAUSED_LONG,
    READABLE,
    SILENT,
    STILL_FOR,
    Definition,
    Notice,
    Noticed,
    Process,
    SeenProcess,
    UnfitSaga,
)

PROCESS_SHARD: Final = 0
"""Where the rows of processes are."""
_NOBODY = UUID(int=0)


@final
class PostgresProcesses:
    """The processes that work on the sagas of a store, and the sagas that no process works on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shards = list(range(database.shards))

    async def note(self, process: Process) -> None:
        """Say that the process is there, and what it works on."""
        async with self._database.control() as connection:
            now = await self._database.queries.report_process(
                connection,
                shard=PROCESS_SHARD,
                id=process.id,
                host=process.process,
                names=[name for name, _, _ in process.definitions],
                versions=[version for _, version, _ in process.definitions],
                plans=[plan for _, _, plan in process.definitions],
                lock_timeout=LOCK_TIMEOUT,
            )
        self._database.sync_clock(now)

    async def forget(self, process_id: UUID) -> None:
        """Forget the process."""
        await self._drop(process_id)

    async def forget_silent(self) -> int:
        """Forget some of those that have said nothing for long; gives how many there were."""
        return await self._drop(_NOBODY)

    async def _drop(self, process_id: UUID) -> int:
        async with self._database.control() as connection:
            return await self._database.queries.drop_processes(
                connection, shard=PROCESS_SHARD, id=process_id, silent=SILENT, most=FORGOTTEN_AT_ONCE
            )

    async def find(self, process_id: UUID) -> SeenProcess | None:
        """Where the process runs, and when it was last seen."""
        async with self._database.control() as connection:
            row = await self._database.queries.read_process(connection, shard=PROCESS_SHARD, id=process_id)
        return None if row is None else SeenProcess(row.host, row.seen_at)

    async def others(self, process_id: UUID, *, seen_within: timedelta) -> frozenset[Definition]:
        """The definitions that other processes work on."""
        async with self._database.control() as connection:
            rows = await self._database.queries.read_definitions(
                connection,
                shard=PROCESS_SHARD,
                id=process_id,
                seen_within=seen_within,
                most_processes=MOST_PROCESSES,
                most_definitions=MOST_DEFINITIONS,
                most=MOST_DEFINITIONS_OF_ALL,
            )
        return frozenset((row.name, row.version, PlanId(row.plan)) for row in rows)

    async def seen(self, *, seen_within: timedelta, most: int) -> list[WorkingProcess]:
        """The processes that were seen within that time, the last seen first."""
        async with self._database.control() as connection:
            rows = await self._database.queries.list_processes(
                connection, shard=PROCESS_SHARD, seen_within=seen_within, most=most, most_definitions=MOST_DEFINITIONS
            )
        return [
            WorkingProcess(row.id, row.host, row.seen_at, tuple(sorted(zip(row.names, row.versions, strict=False))))
            for row in rows
        ]

    async def notices(self, *, seen_within: timedelta, left_behind: timedelta | None = None) -> list[Noticed]:
        """The findings for a person."""
        async with self._database.control() as connection:
            rows = await self._database.queries.read_attention(
                connection,
                shards=self._shards,
                process_shard=PROCESS_SHARD,
                lately=seen_within,
                left_behind=seen_within if left_behind is None else left_behind,
                most_processes=MOST_PROCESSES,
                most_definitions=MOST_DEFINITIONS,
                most_definitions_of_all=MOST_DEFINITIONS_OF_ALL,
                still_for=STILL_FOR,
                paused_for=PAUSED_LONG,
                most=MOST_COUNTED,
            )
        return [Noticed(Notice(row.kind), row.name, row.version, row.sagas, tuple(row.ids)) for row in rows]

    async def unfit(self, definitions: Sequence[tuple[str, int]], *, after: UUID) -> list[UnfitSaga]:
        """Sagas that were parked because a plan did not fit them."""
        async with self._database.control() as connection:
            rows = await self._database.queries.read_parked(
                connection,
                shards=self._shards,
                names=[name for name, _ in definitions],
                versions=[version for _, version in definitions],
                after=after,
                formats=list(READABLE),
                most=MOST_UNFIT,
            )
        return [UnfitSaga(row.id, row.name, row.version, PlanId(row.plan), row.state) for row in rows]

    async def wake(self, shard: int, saga_ids: Sequence[UUID]) -> None:
        """Make those due that are still parked."""
        async with self._database.control() as connection:
            await self._database.queries.wake_parked(connection, shard=shard, ids=sorted(saga_ids))
