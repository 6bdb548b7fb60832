"""Events on their way to sagas: those that are sent at the same time share a statement, and each is judged by itself.

An event may claim its saga for this process: then the event, the saga's resumption and the begin of its next step are one
commit. If the process dies before that, the event is stored and unread, and the saga has an owner that is gone: the one that takes it
over when the lease is over reads the event first, as after any claim. An event whose answer is lost may have claimed
its saga, too: it is given back by the token, which does nothing if it was not so.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, TypeAlias, final
from uuid import UUID

from saga_fn import steady
from saga_fn.engine.commit.batching import Batcher, by_halves, telling_all
from saga_fn.errors import StoreError, StoreRefusedError, StoreUnavailableError
from saga_fn.store.errors import RowLockedError, RowRejectedError, StatementFailedError, StoreBusyError
from saga_fn.store.ids import shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import ClaimedSaga, EventToSend, InboxMessage, Sent
from saga_fn.tasks import Errands

_BUSY_TRIES: Final = 6
"""Statements in a row that the server gave up for the sake of others; then something else is the matter."""

Drive: TypeAlias = Callable[[Sequence[ClaimedSaga], float, Mapping[UUID, InboxMessage]], Awaitable[object]]
"""Goes on with sagas that were claimed by a request sent at that monotonic time; of some all messages are known."""


class _Pending:
    __slots__ = ("event", "has_claimed", "id", "sent", "size")

    def __init__(self, event: EventToSend) -> None:
        self.id = event.saga_id
        self.event = event
        self.size = len(event.message.body)
        self.has_claimed = False
        self.sent: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        if not self.sent.done():
            self.sent.set_exception(error if isinstance(error, StoreError) else _cut_short())


def _cut_short() -> StoreError:
    return StoreUnavailableError(
        "the statement of an event was cut short, by a stop or by code outside of this library: it may have been stored",
        hint="send it again; with an event_id it is taken once",
    )


@final
class Sends:
    """Sends events, many a statement."""

    def __init__(
        self,
        store: Store,
        *,
        owner: UUID,
        lease: timedelta,
        drive: Drive,
        take_slots: Callable[[EventToSend, int], None],
    ) -> None:
        """`take_slots` is called with each event that may claim a saga, and 1, or -1 when it does not any more."""
        self._store = store
        self._owner = owner
        self._lease = lease
        self._drive = drive
        self._batcher: Batcher[_Pending] = Batcher(self._send, max_in_flight=1)
        self._errands = Errands()
        self._take_slots = take_slots

    async def send(self, event: EventToSend) -> Sent:
        """Leave an event for a saga; it is durable when this returns.

        It is sent though its sender is cancelled meanwhile. Raises StoreError if the store does not take it: where it does not
        answer, it may have been stored.
        """
        pending = _Pending(event)
        if event.token is not None:
            self._take_slots(event, 1)
        self._batcher.add(shard_of(event.saga_id, self._store.shards), pending)
        return await pending.sent

    async def stop(self, patience: float) -> None:
        """Wait `patience` seconds for what is on its way, then cut it short."""
        await self._batcher.stop(patience)
        await self._errands.stop(patience, first=patience)

    async def _send(self, shard: int, batch: list[_Pending]) -> None:
        refusals = (RowRejectedError, RowLockedError, StoreRefusedError, StatementFailedError)
        try:
            with telling_all(batch, _Pending.fail):
                try:
                    await by_halves(batch, partial(self._post, shard), _Pending.fail, may_be_about_some=refusals)
                except BaseException:
                    self._give_back(shard, batch)
                    raise
        finally:
            for pending in batch:
                if pending.event.token is not None and not pending.has_claimed:
                    self._take_slots(pending.event, -1)

    async def _post(self, shard: int, batch: Sequence[_Pending]) -> None:
        began = steady.now()
        sent = await self._sent(shard, [pending.event for pending in batch])
        claims: list[ClaimedSaga] = []
        claiming: list[EventToSend] = []
        messages: dict[UUID, InboxMessage] = {}
        for pending in batch:
            outcome = sent[pending.id]
            if outcome.claim is not None:
                pending.has_claimed = True
                claims.append(outcome.claim)
                claiming.append(pending.event)
                if outcome.is_alone:
                    messages[pending.id] = pending.event.message
            if not pending.sent.done():  # its sender may have gone
                pending.sent.set_result(outcome)
        if claims:  # beside the batches: the next events do not wait for it
            self._errands.add(self._go_on(claims, claiming, began, messages))

    async def _sent(self, shard: int, events: Sequence[EventToSend]) -> Mapping[UUID, Sent]:
        for _ in range(_BUSY_TRIES - 1):
            with contextlib.suppress(StoreBusyError):  # nothing was written
                return await self._store.send_many(shard, events, owner=self._owner, lease=self._lease)
            await asyncio.sleep(random.uniform(0.001, 0.02))
        return await self._store.send_many(shard, events, owner=self._owner, lease=self._lease)

    async def _go_on(
        self,
        claims: Sequence[ClaimedSaga],
        claiming: Sequence[EventToSend],
        began: float,
        messages: Mapping[UUID, InboxMessage],
    ) -> None:
        try:
            await self._drive(claims, began, messages)
        except StoreError:
            pass  # they were handed back, or are left to their leases
        finally:
            for event in claiming:
                self._take_slots(event, -1)

    def _give_back(self, shard: int, batch: Sequence[_Pending]) -> None:
        """Give back what may have been claimed by events of which nothing is known."""
        tokens = {
            pending.id: pending.event.token
            for pending in batch
            if pending.event.token is not None and not pending.has_claimed
        }
        if tokens:
            self._errands.add(self._released(shard, tokens))

    async def _released(self, shard: int, tokens: Mapping[UUID, UUID]) -> None:
        with contextlib.suppress(StoreError):  # then their leases run out
            await self._store.release(shard, tokens)
