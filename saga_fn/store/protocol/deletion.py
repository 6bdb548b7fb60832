"""The deletion of sagas whose retention is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.projection import SagaStatus
from saga_fn.store.connection import CallerConnection
from saga_fn.store.records import EndedSaga, Tombstone


class Deletion(Protocol):
    """The deletion of sagas that have ended; see `Store`.

    The methods share these parameters.

    Args:
        shard: The shard of the sagas, a number from 0.
        owner: The id of this process.
        lease: For how long no other process begins to delete in the shard, as a timedelta.
        definition: The name and version of the sagas.
        status: The status that they ended with.
        before: They ended before this moment, in microseconds since 1970.
        acknowledged_only: Whether sagas are left out that FAILED and that no operator has acknowledged.
        sure: A saga that ended after this moment is left out, unless its plan is one of `plans` and no event is kept that only its
            being known keeps from the next saga of its business key.
        plans: The fingerprints of the plans that are known to wait for no event.
        limit: How many sagas at most.
        sagas: The sagas to delete, `DELETED_AT_ONCE` at most.
        keep: How long their tombstones count, as a timedelta; None stands for ever.
        saga_id: The saga's id.
        connection: A connection of the caller's, in whose transaction the call happens. Default: None, one of the store's.
    """

    async def begin(self, shard: int, *, owner: UUID, lease: timedelta) -> bool:
        """Say that this process deletes sagas in the shard; False if another one does."""
        ...

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
        """The sagas that ended so, the oldest end first; takes no lock."""
        ...

    async def delete(self, shard: int, sagas: Sequence[EndedSaga], *, keep: timedelta | None) -> list[UUID]:
        """Delete those that stand as they did, with all that belongs to them; gives their ids.

        A tombstone takes the place of each whose start had a key, in the same transaction.
        """
        ...

    async def tombstone(self, saga_id: UUID, *, connection: CallerConnection | None = None) -> Tombstone | None:
        """The tombstone of a saga that was deleted; None if it has none, or none that counts."""
        ...

    async def drop_tombstones(self, shard: int) -> int:
        """Forget `DELETED_AT_ONCE` tombstones that count no more; gives how many there were."""
        ...
