"""Outgoing messages, in a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from saga_fn.store.records import FailedMessage, HeldMessage, OutgoingCounts, OutgoingRecord, Place


class OutgoingMessages(Protocol):
    """Outgoing messages of sagas: written by `Store.insert` and `Store.commit`, and deleted when they are published.

    The methods share these parameters.

    Args:
        shard: The shard of the sagas, a number from 0.
        topic: The topic.
        token: The token under which this process holds messages.
        lease: For how long no other process takes a message, as a timedelta.
        most: The greatest number of messages.
        saga_id: The saga's id.
        saga_ids: The ids of sagas.
        places: The messages: each by its saga, if that is not given, its revision and its place in that.
        failed: The attempts that failed.
        blocks: Whether a dead message holds the later ones of its saga.
    """

    async def due_topics(self) -> list[tuple[int, str]]:
        """The shards and topics of which messages may be taken; takes no lock."""
        ...

    async def claim(
        self, shard: int, topic: str, *, token: UUID, lease: timedelta, most: int
    ) -> tuple[list[HeldMessage], bool]:
        """Take the due messages of a topic that are the first of their sagas; and whether more of it may be due.

        It looks at the `most` that have been due for longest. Those that are not the first are due again later. No further one
        is taken once those taken are `ANSWER_BYTES` together.
        """
        ...

    async def take(self, shard: int, saga_ids: Sequence[UUID], *, token: UUID, lease: timedelta) -> list[HeldMessage]:
        """Take the first message of each of these sagas, if no other process holds it, and it waits for nothing.

        No further one is taken once those taken are `ANSWER_BYTES` together.
        """
        ...

    async def confirm(self, shard: int, places: Sequence[Place]) -> None:
        """Delete messages that are published, also those that other processes hold."""
        ...

    async def fail(self, shard: int, failed: Sequence[FailedMessage], *, token: UUID, blocks: bool) -> None:
        """Record failed attempts of messages that are held under the token."""
        ...

    async def release(self, shard: int, saga_ids: Sequence[UUID], *, token: UUID) -> None:
        """Leave the messages of these sagas to others that are held under the token."""
        ...

    async def of_saga(self, saga_id: UUID, *, most: int) -> list[OutgoingRecord]:
        """The first messages of the saga, in their order; takes no lock."""
        ...

    async def places(self, saga_id: UUID, *, dead: bool, after: tuple[int, int], most: int) -> list[tuple[int, int]]:
        """Where the first messages of the saga stand behind that place, in their order; with `dead` those that are dead.

        It takes no lock.
        """
        ...

    async def dead(self, *, most: int) -> list[OutgoingRecord]:
        """Dead messages, those that died first at the front; takes no lock."""
        ...

    async def redrive(self, saga_id: UUID, places: Sequence[tuple[int, int]]) -> int:
        """Try these messages of a saga again, if they are dead; gives how many are."""
        ...

    async def discard(self, saga_id: UUID, places: Sequence[tuple[int, int]], *, waiting: bool = False) -> int:
        """Delete these messages of a saga, if they are dead, or, with `waiting`, held by no process; gives how many were."""
        ...

    async def counts(self) -> OutgoingCounts:
        """How many there are; takes no lock."""
        ...
