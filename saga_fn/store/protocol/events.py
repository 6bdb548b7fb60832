"""Events that wait in a store: for a business key, and for the ends of callers' transactions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.store.connection import CallerConnection
from saga_fn.store.records import FIRST_KEY, InboxMessage, KeptEvent, MessageStatus, Recipient, SentEvent, Sought


class KeptEvents(Protocol):
    """Events for a saga's name and business key, kept until a saga is active under them; see `Store`.

    The methods share these parameters.

    Args:
        shard: The shard of the key, a number from 0.
        key: The saga's name and its `aggregation_id`.
        name: The name of sagas; None stands for every name.
        aggregation_id: Their business key; None stands for every key.
        message: The event as it is put into an inbox.
        event: The name of the event; None stands for every event.
        event_id: The id of the event's message.
        expires: The moment from which on the event is void, in microseconds since 1970; None stands for no moment of its own.
        for_next: Whether the event may wait for the next saga of a key after one has ended.
        wanted: The events and the business keys that they are for.
        sent_at: When the event was sent. A saga that began later counts as the next one. Default: now.
        connection: A connection of the caller's, in whose transaction the call happens. Default: None, one of the store's.
        after: The key to go on after. Default: `FIRST_KEY`, which is before all keys.
    """

    async def keep(
        self,
        shard: int,
        key: tuple[str, str],
        message: InboxMessage,
        event: str,
        *,
        expires: Moment | None,
        for_next: bool,
        sent_at: datetime | None = None,
    ) -> MessageStatus:
        """Store an event for the saga that is, or will be, active under that (name, aggregation_id).

        Gives `FULL` if `MOST_KEPT` wait for it already. Gives `ENDED` if a saga of the key has ended, none is active, and the
        event is not `for_next`; `KNOWN` if such a saga had got it by its own id. It is kept until `expires`, and for
        `KEPT_FOR` at most.
        """
        ...

    async def recipients(self, shard: int, wanted: Sequence[Sought]) -> list[Recipient]:
        """Who gets each of these events for business keys, in the order of `wanted`; takes no lock."""
        ...

    async def hand_over(self, shard: int, key: tuple[str, str]) -> UUID | None:
        """Put what is kept for the key into the inbox of its active saga, and give its id; else None.

        No more than there is room for: while `MOST_UNREAD` of its messages are unread, all of it stays kept.
        A saga that began after another one of its key had ended gets only what was sent to itself, or is `for_next`.
        """
        ...

    async def recipient_of(self, shard: int, key: tuple[str, str], event_id: UUID) -> UUID | MessageStatus | None:
        """The saga that has got this event for a key, or what else became of it; None while none has got it.

        `KNOWN` if the saga had got the same event before, by its own id; `ENDED` if the key's saga ended without it. Then no saga
        gets it any more, not even that one, if an operator takes it up again.
        """
        ...

    async def discard(self, shard: int, key: tuple[str, str], event: str | None) -> int:
        """Forget the events of that name (None: all) that wait for a saga of the key; gives their number."""
        ...

    async def knows(self, shard: int, name: str, *, connection: CallerConnection | None = None) -> bool:
        """Whether a saga of that name with a business key is, or was, in the shard."""
        ...

    async def undelivered(self, shard: int, *, after: tuple[str, str] = FIRST_KEY) -> list[tuple[str, str]]:
        """The first `UNDELIVERED_AT_ONCE` keys after that one, in order, whose active saga has not got all that it gets.

        Takes no lock.
        """
        ...

    async def drop_expired(self, shard: int) -> int:
        """Forget `EXPIRED_AT_ONCE` of the events for keys that have expired; gives how many there were."""
        ...

    async def read(self, shard: int, name: str | None, aggregation_id: str | None) -> list[KeptEvent]:
        """The events that wait for a saga of that name and key (None: of any), the oldest first."""
        ...


class SentEvents(Protocol):
    """Events that were sent in callers' transactions, until they are handed over; see `Store`.

    The methods share these parameters.

    Args:
        target: The saga's id, or its name and its `aggregation_id`.
        message: The event as it is put into an inbox.
        event: The name of the event.
        expires: The moment from which on the event is void, in microseconds since 1970; None stands for no moment of its own.
        for_next: Whether the event may wait for the next saga of a key after one has ended.
        connection: The caller's connection, with a transaction open on it.
        lease: How long no other process takes them, as a timedelta.
        ids: The ids of the rows.
    """

    async def add(
        self,
        target: UUID | tuple[str, str],
        message: InboxMessage,
        event: str,
        *,
        expires: Moment | None,
        for_next: bool,
        connection: CallerConnection,
    ) -> MessageStatus:
        """Store an event in the connection's transaction; waits for no other transaction, and changes no saga's row.

        Gives `DUPLICATE` and `ENDED` as far as the transaction can see that, and `FULL` if `MOST_SENT` are on their way.
        """
        ...

    async def claim(self, *, lease: timedelta) -> list[SentEvent]:
        """Take at most `SENT_AT_ONCE` whose transactions are committed, in the order in which they were sent.

        No further one is taken once those taken are `ANSWER_BYTES` together.
        """
        ...

    async def remove(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Forget these; gives those that were there."""
        ...
