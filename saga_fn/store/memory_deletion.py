"""The deletion of sagas that have ended, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import final
from uuid import UUID

from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.projection import SagaStatus
from saga_fn.store.connection import CallerConnection
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import EndedSaga, SagaRecord, Tombstone, time_of

_THE_ERA = 0
"""A journal in memory has one part."""


@final
class MemoryDeletion:
    """Sagas that have ended are deleted, and tombstones stay of some."""

    def __init__(
        self,
        store: Store,
        sagas: Callable[[], Iterable[SagaRecord]],
        forget: Callable[[UUID], bool],
        kept_for: Callable[[tuple[str, str]], bool],
        publishes: Callable[[UUID], bool],
    ) -> None:
        """`sagas` gives the rows of all sagas in the store, `forget` deletes one and says whether its start had a key.

        `kept_for` says whether an event for a business key would go to its next saga, if that were the first.
        `publishes` says whether a saga has outgoing messages that are not published.
        """
        self._store = store
        self._sagas = sagas
        self._forget = forget
        self._kept_for = kept_for
        self._publishes = publishes
        self._tombstones: dict[UUID, tuple[Tombstone, datetime | None]] = {}
        """With the moment from which on each counts no more."""
        self._at_work: dict[int, tuple[UUID, datetime]] = {}
        """By shard, who deletes there, and until when."""

    async def begin(self, shard: int, *, owner: UUID, lease: timedelta) -> bool:
        """Say that this process deletes sagas in the shard; False if another one does."""
        now = time_of(self._store.now())
        at_work = self._at_work.get(shard)
        if at_work is not None and at_work[0] != owner and at_work[1] > now:
            return False
        self._at_work[shard] = owner, now + lease
        return True

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
        found = sorted(
            (row.ended_at, row.id, row.rev)
            for row in self._sagas()
            if row.ended_at is not None
            and row.ended_at < time_of(before)
            and ((row.name, row.version), row.status) == (definition, status)
            and (row.acknowledged or not acknowledged_only)
            and (row.ended_at < time_of(sure) or (row.plan in plans and not self._keeps_an_event_back(row)))
            and shard_of(row.id, self._store.shards) == shard
            and not self._publishes(row.id)
        )
        return [EndedSaga(saga_id, rev, _THE_ERA) for _, saga_id, rev in found[:limit]]

    def _keeps_an_event_back(self, row: SagaRecord) -> bool:
        return row.aggregation_id is not None and self._kept_for((row.name, row.aggregation_id))

    async def delete(self, shard: int, sagas: Sequence[EndedSaga], *, keep: timedelta | None) -> list[UUID]:
        """Delete those that stand as they did, with all that belongs to them; gives their ids."""
        now = time_of(self._store.now())
        revs = {saga.id: saga.rev for saga in sagas}
        over = [
            row
            for row in self._sagas()
            if row.ended_at is not None and revs.get(row.id) == row.rev and not self._publishes(row.id)
        ]
        for row in over:
            if self._forget(row.id) and row.ended_at is not None:
                stone = Tombstone(row.name, row.request, row.status, row.ended_at, now)
                self._tombstones[row.id] = stone, None if keep is None else now + keep
        return [row.id for row in over]

    async def tombstone(self, saga_id: UUID, *, connection: CallerConnection | None = None) -> Tombstone | None:
        """The tombstone of a saga that was deleted."""
        return self.counting(saga_id)

    def counting(self, saga_id: UUID) -> Tombstone | None:
        """The saga's tombstone, if it counts still."""
        stone, until = self._tombstones.get(saga_id, (None, None))
        return stone if until is None or until > time_of(self._store.now()) else None

    async def drop_tombstones(self, shard: int) -> int:
        """Forget the tombstones that count no more; gives how many there were."""
        over = [
            saga_id
            for saga_id in self._tombstones
            if self.counting(saga_id) is None and shard_of(saga_id, self._store.shards) == shard
        ]
        for saga_id in over:
            del self._tombstones[saga_id]
        return len(over)
