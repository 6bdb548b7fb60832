"""The deletion of sagas that have ended, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import final
from uuid import UUID

from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.projection import SagaStatus
from saga_fn.store.connection import CallerConnection
from saga_fn.store.database import LOCK_TIMEOUT, Database
from saga_fn.store.ids import shard_of
from saga_fn.store.records import DELETED_AT_ONCE, EndedSaga, Tombstone, time_of


@final
class PostgresDeletion:
    """Sagas that have ended are deleted, many a statement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, shard: int, *, owner: UUID, lease: timedelta) -> bool:
        """Say that this process deletes sagas in the shard; False if another one does."""
        async with self._database.work() as connection:
            begun = await self._database.queries.begin_retention(
                connection, shard=shard, owner=owner, lease=lease, lock_timeout=LOCK_TIMEOUT
            )
        return begun > 0

    async def ended(
        self,
        shard: int,
        definition: tuple[str, int],
        status: SagaStatus,
        *,
        before: Moment,
        acknowledged_only: bool,
        sure: Moment,
        plans: Sequence[PlanId],
        limit: int,
    ) -> list[EndedSaga]:
        """The sagas that ended so, the oldest end first."""
        name, version = definition
        queries, moment = self._database.queries, time_of(before)
        async with self._database.work() as connection:
            if acknowledged_only:
                rows = await queries.find_acknowledged(
                    connection,
                    shard=shard,
                    name=name,
                    version=version,
                    before=moment,
                    sure=time_of(sure),
                    plans=plans,
                    most=limit,
                )
            else:
                rows = await queries.find_ended(
                    connection,
                    shard=shard,
                    name=name,
                    version=version,
                    status=status.value,
                    before=moment,
                    sure=time_of(sure),
                    plans=plans,
                    most=limit,
                )
        return [EndedSaga(row.id, row.rev, row.era) for row in rows]

    async def delete(self, shard: int, sagas: Sequence[EndedSaga], *, keep: timedelta | None) -> list[UUID]:
        """Delete those that stand as they did, with all that belongs to them; gives their ids."""
        async with self._database.work() as connection:
            return await self._database.queries.delete_sagas(
                connection,
                shard=shard,
                ids=[saga.id for saga in sagas],
                revs=[saga.rev for saga in sagas],
                eras=sorted({saga.era for saga in sagas}),
                keep=keep,
                lock_timeout=LOCK_TIMEOUT,
            )

    async def tombstone(self, saga_id: UUID, *, connection: CallerConnection | None = None) -> Tombstone | None:
        """The tombstone of a saga that was deleted."""
        async with self._database.work() if connection is None else self._database.within(connection) as chosen:
            row = await self._database.queries.read_tombstone(
                chosen, shard=shard_of(saga_id, self._database.shards), id=saga_id
            )
        if row is None:
            return None
        return Tombstone(row.name, row.request, SagaStatus(row.status), row.ended_at, row.deleted_at)

    async def drop_tombstones(self, shard: int) -> int:
        """Forget some of the tombstones that count no more; gives how many there were."""
        async with self._database.work() as connection:
            return await self._database.queries.drop_tombstones(connection, shard=shard, most=DELETED_AT_ONCE)
