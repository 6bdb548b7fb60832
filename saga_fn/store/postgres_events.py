"""Events for business keys in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import final
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.store._queries import EventRecipientRow, KeptRow
from saga_fn.store.connection import CallerConnection
from saga_fn.store.database import LOCK_TIMEOUT, Database
from saga_fn.store.errors import RowLockedError
from saga_fn.store.records import (
    EXPIRED_AT_ONCE,
    FIRST_KEY,
    HANDED_OVER_AT_ONCE,
    KEPT_FOR,
    MOST_KEPT,
    MOST_LOOKED_INTO,
    MOST_UNREAD,
    UNDELIVERED_AT_ONCE,
    InboxMessage,
    KeptEvent,
    MessageStatus,
    Recipient,
    Sought,
    time_of,
)


@final
class PostgresKeptEvents:
    """Events that were sent to a name and a business key, until a saga is active under them."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        """Store an event for the saga that is, or will be, active under that key, if there is room for it."""

        async def kept() -> KeptRow:
            async with self._database.work() as connection:
                return await self._database.queries.keep_event(
                    connection,
                    shard=shard,
                    name=key[0],
                    aggregation_id=key[1],
                    id=message.id,
                    event=event,
                    body=message.body,
                    sent_at=sent_at,
                    expires_at=None if expires is None else time_of(expires),
                    keep=KEPT_FOR,
                    most=MOST_KEPT,
                    for_next=for_next,
                    lock_timeout=LOCK_TIMEOUT,
                )

        row = await self._database.persist(kept)
        if row.stored:
            return MessageStatus.STORED
        if row.known:
            return MessageStatus.DUPLICATE
        if row.ended:
            return await self.after_end(shard, key, message.id)
        # The statement cannot see what another sender has stored meanwhile.
        return MessageStatus.FULL if await self._event(shard, key, message.id) is None else MessageStatus.DUPLICATE

    async def recipients(self, shard: int, wanted: Sequence[Sought]) -> list[Recipient]:
        """Who gets each of these events for business keys."""
        async with self._database.work() as connection:
            rows = await self._database.queries.read_recipients(
                connection,
                shard=shard,
                names=[each.name for each in wanted],
                aggregation_ids=[each.aggregation_id for each in wanted],
                ids=[each.event_id for each in wanted],
            )
        rows.sort(key=lambda row: row.place)
        return [Recipient(row.saga_id, row.known, row.has_kept) for row in rows]

    async def hand_over(self, shard: int, key: tuple[str, str]) -> UUID | None:
        """Put what is kept for the key, or as much of it as one statement may take, into the inbox of its active saga.

        None as well if another session keeps the saga's row locked: then what is kept stays kept, for the next sweep.
        """
        try:
            async with self._database.work() as connection:
                return await self._database.queries.hand_over_events(
                    connection,
                    shard=shard,
                    name=key[0],
                    aggregation_id=key[1],
                    most=HANDED_OVER_AT_ONCE,
                    most_unread=MOST_UNREAD,
                    lock_timeout=LOCK_TIMEOUT,
                )
        except RowLockedError:
            return None

    async def recipient_of(self, shard: int, key: tuple[str, str], event_id: UUID) -> UUID | MessageStatus | None:
        """The saga that has got this event for a key, or what else became of it."""
        row = await self._event(shard, key, event_id)
        if row is None:
            return None
        if row.repeated:
            return MessageStatus.DUPLICATE
        if not row.ended:
            return row.taken_by
        after = await self.after_end(shard, key, event_id)
        if after is MessageStatus.ENDED and not await self._voided(shard, key, event_id):
            return await self.recipient_of(
                shard, key, event_id
            )  # an owner has taken the saga up again, and it has got the event
        return after

    async def _voided(self, shard: int, key: tuple[str, str], event_id: UUID) -> bool:
        async def voided() -> int:
            async with self._database.work() as connection:
                return await self._database.queries.void_event(
                    connection, shard=shard, name=key[0], aggregation_id=key[1], id=event_id, lock_timeout=LOCK_TIMEOUT
                )

        return await self._database.persist(voided) > 0

    async def after_end(
        self, shard: int, key: tuple[str, str], event_id: UUID, connection: CallerConnection | None = None
    ) -> MessageStatus:
        """DUPLICATE for an event that a saga of the key had got before it ended, by its own id; else ENDED."""
        async with self._database.on(connection) as chosen:
            got = await self._database.queries.read_event_was_got(
                chosen, shard=shard, name=key[0], aggregation_id=key[1], id=event_id, most=MOST_LOOKED_INTO
            )
        return MessageStatus.DUPLICATE if got else MessageStatus.ENDED

    async def _event(self, shard: int, key: tuple[str, str], event_id: UUID) -> EventRecipientRow | None:
        async with self._database.work() as connection:
            return await self._database.queries.read_event_recipient(
                connection, shard=shard, name=key[0], aggregation_id=key[1], id=event_id
            )

    async def discard(self, shard: int, key: tuple[str, str], event: str | None) -> int:
        """Forget what waits for a saga of that key."""
        async with self._database.work() as connection:
            return await self._database.queries.discard_kept_events(
                connection, shard=shard, name=key[0], aggregation_id=key[1], event=event
            )

    async def knows(self, shard: int, name: str, *, connection: CallerConnection | None = None) -> bool:
        """Whether a saga of that name with a business key is, or was, in the shard."""
        async with self._database.on(connection) as chosen:
            return await self._database.queries.read_name_is_known(chosen, shard=shard, name=name)

    async def undelivered(self, shard: int, *, after: tuple[str, str] = FIRST_KEY) -> list[tuple[str, str]]:
        """The first keys after that one whose active saga has not got all that it gets; takes no lock."""
        async with self._database.work() as connection:
            rows = await self._database.queries.find_undelivered_events(
                connection, shard=shard, after_name=after[0], after_key=after[1], most=UNDELIVERED_AT_ONCE
            )
        return [(row.name, row.aggregation_id) for row in rows]

    async def drop_expired(self, shard: int) -> int:
        """Forget some of the events for keys that have expired; gives their number."""
        async with self._database.work() as connection:
            return await self._database.queries.drop_expired_events(connection, shard=shard, most=EXPIRED_AT_ONCE)

    async def read(self, shard: int, name: str | None, aggregation_id: str | None) -> list[KeptEvent]:
        """The events that wait for a saga of that name and key; takes no lock."""
        async with self._database.work() as connection:
            rows = await self._database.queries.read_kept_events(
                connection, shard=shard, of_name=name, of_key=aggregation_id
            )
        return [
            KeptEvent(row.name, row.aggregation_id, row.id, row.event, row.body, row.sent_at, row.expires_at)
            for row in rows
        ]
