"""The outgoing messages in the store, as the relay takes them, gives them back, and writes their fates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar, final
from uuid import UUID

from saga_fn import steady
from saga_fn.backoff import Backoff
from saga_fn.engine.hold.at_once import AtOnce
from saga_fn.engine.observe.observers import Observers
from saga_fn.engine.observe.of_outgoing import RelayHeldUp
from saga_fn.engine.topics import Topics
from saga_fn.errors import StoreError, StoreUnavailableError
from saga_fn.outgoing import OutgoingOptions
from saga_fn.store.errors import RowLockedError, RowRejectedError
from saga_fn.store.ids import new_uuid, shard_of
from saga_fn.store.protocol import Store
from saga_fn.store.records import FailedMessage, HeldMessage, Place, is_full
from saga_fn.tasks import Errands, Work, spawn

_AT_ONCE: Final = 200
"""One statement takes no more messages, nor gives back those of more sagas."""
_CUT: Final = 0.1
"""Seconds that a statement may take to end once it is cut short."""
Hold = Callable[[Iterable[HeldMessage], float], None]
"""Takes messages into memory that this process holds in the store, since it has asked for them at that monotonic time."""
Leave = Callable[[UUID], None]
"""Has the messages of a saga given back that this process holds in the store, and not in memory."""
T = TypeVar("T")


@final
class RelayStore:
    """The outgoing messages in the store, as one process holds them: under its token, for a lease."""

    def __init__(self, store: Store, topics: Topics, options: OutgoingOptions, observers: Observers) -> None:
        self._store = store
        self._topics = topics
        self._blocks = options.on_dead == "block"
        self._observers = observers
        self.begin_life()

    def begin_life(self) -> None:
        """Begin with a token under which nothing is held."""
        self.token: UUID = new_uuid()
        self._at_once = AtOnce(_AT_ONCE)
        self._cut_short = Errands()
        """Statements that take messages, and whose callers were cut short."""

    # Taken, and given back.

    async def due(self) -> Sequence[tuple[int, str]]:
        """The shards and topics that have messages which no process holds."""
        return await self._store.outgoing.due_topics()

    async def claim(self, shard: int, topic: str, most: int, leave: Leave) -> tuple[Sequence[HeldMessage], bool]:
        """The first messages of sagas, if they are of this topic; no more than so many. And whether there may be more."""
        most = min(self._at_once.now, most)
        claiming = self._store.outgoing.claim(shard, topic, token=self.token, lease=self._topics.lease, most=most)
        return await self._in_time(most, self._to_its_end(claiming, lambda claimed: claimed[0], leave))

    async def take(self, saga_ids: Iterable[UUID], hold: Hold, leave: Leave) -> set[UUID]:
        """Take the next message of each of these sagas, if it can be; gives those of which one was."""
        taken: set[UUID] = set()
        outgoing = self._store.outgoing
        try:
            for shard, each in self._by_shard(saga_ids).items():
                while each:
                    sent = steady.now()
                    some, each = each[: self._at_once.now], each[self._at_once.now :]  # noqa: PLW2901 - what is left of it
                    taking = outgoing.take(shard, some, token=self.token, lease=self._topics.lease)
                    held = await self._in_time(len(some), self._to_its_end(taking, lambda taken: taken, leave))
                    taken.update(message.saga_id for message in held)
                    if is_full(message.body for message in held):
                        each += [saga_id for saga_id in some if saga_id not in taken]
                    hold(held, sent)
        except StoreError as error:  # the sweep finds them
            self._observers.tell(RelayHeldUp(error, is_taking=True))
        return taken

    async def _to_its_end(self, taking: Work[T], messages: Callable[[T], Iterable[HeldMessage]], leave: Leave) -> T:
        """Await it. If this is cut short, it goes on to its end, and what it has taken is left behind.

        Else this process would hold messages that it does not know of, and no other one took them for a lease.
        """
        task = spawn(taking)
        try:
            _ = await asyncio.wait((task,))
        except asyncio.CancelledError:
            self._cut_short.add(_left_behind(task, messages, leave))
            raise
        return await task

    async def _in_time(self, asked: int, taking: Work[T]) -> T:
        """Take so many messages at once; fewer from then on if they do not come within a statement's time."""
        try:
            taken = await taking
        except StoreUnavailableError:
            self._at_once.were_too_many(asked)
            raise
        self._at_once.came_in_time()
        return taken

    async def give_back(self, left: set[UUID]) -> None:
        """Leave the messages of these sagas to a process that has room for them. Those that could not be left stay in the set.

        Raises StoreError. Messages that another transaction has locked hold up no more than those of their own statement.
        """
        locked: RowLockedError | None = None
        for shard, each in self._by_shard(left).items():
            for first in range(0, len(each), _AT_ONCE):
                some = each[first : first + _AT_ONCE]
                try:
                    await self._store.outgoing.release(shard, some, token=self.token)
                except RowLockedError as error:
                    locked = error
                else:
                    left.difference_update(some)
        if locked is not None:
            raise locked

    async def taken(self) -> None:
        """Wait until nothing is being taken that was cut short."""
        await self._cut_short.wait()

    async def stop(self) -> None:
        """Cut short what still goes on: the leases of what it has taken run out."""
        await self._cut_short.stop(_CUT)

    # Their fates.

    async def confirm(self, published: Sequence[Place]) -> None:
        """Delete messages that are published; what cannot be deleted is published again by the process that takes it next."""
        for shard, places in self._by(published, lambda place: place[0]).items():
            await self._until_written(partial(self._store.outgoing.confirm, shard, places))

    async def fail(self, failed: Sequence[FailedMessage]) -> None:
        """Record failed attempts; what cannot be written is tried again by the process that takes it next."""
        outgoing = self._store.outgoing
        for shard, each in self._by(failed, lambda message: message.saga_id).items():
            await self._until_written(partial(outgoing.fail, shard, each, token=self.token, blocks=self._blocks))

    async def _until_written(self, write: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(0.05, 5.0)
        while True:
            try:
                await write()
            except RowRejectedError as error:
                self._observers.tell(RelayHeldUp(error))
                return
            except StoreError as error:
                self._observers.tell(RelayHeldUp(error))
                await backoff.pause()
            else:
                return

    # By shard.

    def _by_shard(self, saga_ids: Iterable[UUID]) -> dict[int, list[UUID]]:
        return self._by(saga_ids, lambda saga_id: saga_id)

    def _by(self, things: Iterable[T], saga_of: Callable[[T], UUID]) -> dict[int, list[T]]:
        found: dict[int, list[T]] = {}
        for each in things:
            found.setdefault(shard_of(saga_of(each), self._store.shards), []).append(each)
        return found


async def _left_behind(taking: asyncio.Task[T], messages: Callable[[T], Iterable[HeldMessage]], leave: Leave) -> None:
    with suppress(StoreError):  # nothing was taken, or the answer is lost
        for message in messages(await taking):
            leave(message.saga_id)
