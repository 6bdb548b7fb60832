"""The looks for who gets events that are sent to business keys: those of one moment share a statement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import final
from uuid import UUID

from saga_fn.engine.commit.batching import Batcher, by_halves, telling_all
from saga_fn.errors import StoreError, StoreRefusedError, StoreUnavailableError
from saga_fn.store.errors import RowRejectedError, StatementFailedError, StoreBusyError
from saga_fn.store.ids import new_uuid, shard_of_key
from saga_fn.store.protocol import Store
from saga_fn.store.records import Recipient, Sought


class _Look:
    __slots__ = ("found", "id", "size", "sought")

    def __init__(self, sought: Sought) -> None:
        self.id: UUID = new_uuid()  # none is left out of a batch for another's sake
        self.sought = sought
        self.size = len(sought.name) + len(sought.aggregation_id)
        self.found: asyncio.Future[Recipient] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        if not self.found.done():
            cut = StoreUnavailableError(
                "the look for the saga of a business key was cut short", hint="send the event again"
            )
            self.found.set_exception(error if isinstance(error, StoreError) else cut)


@final
class Recipients:
    """Looks for the sagas of business keys, many a statement."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lanes: Batcher[_Look] = Batcher(self._send, lanes=1)

    async def find(self, sought: Sought) -> Recipient:
        """Who gets an event for a business key. Raises StoreError if the store does not tell."""
        look = _Look(sought)
        self._lanes.add(shard_of_key(sought.aggregation_id, self._store.shards), look)
        return await look.found

    async def stop(self, patience: float) -> None:
        """Wait `patience` seconds for what was asked, then cut it short."""
        await self._lanes.stop(patience)

    async def _send(self, shard: int, batch: list[_Look]) -> None:
        refusals = (RowRejectedError, StoreBusyError, StoreRefusedError, StatementFailedError)
        with telling_all(batch, _Look.fail):
            await by_halves(batch, partial(self._ask, shard), _Look.fail, may_be_about_some=refusals)

    async def _ask(self, shard: int, batch: Sequence[_Look]) -> None:
        found = await self._store.kept_events.recipients(shard, [look.sought for look in batch])
        for look, recipient in zip(batch, found, strict=True):
            if not look.found.done():  # its sender may have gone
                look.found.set_result(recipient)
