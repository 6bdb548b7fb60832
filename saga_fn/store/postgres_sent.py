"""Events that are sent in callers' transactions, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, final
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.errors import StoredDataError
from saga_fn.store._queries import SentEventRow
from saga_fn.store.connection import CallerConnection
from saga_fn.store.database import Database
from saga_fn.store.ids import new_uuid, shard_of, shard_of_key
from saga_fn.store.postgres_events import PostgresKeptEvents
from saga_fn.store.records import (
    ANSWER_BYTES,
    KEPT_FOR,
    MOST_SENT,
    SENT_AT_ONCE,
    InboxMessage,
    MessageStatus,
    SentEvent,
    moment_of,
    time_of,
)

_SHARD: Final = 0
"""Where the rows of such events are."""


@final
class PostgresSentEvents:
    """Events that wait for the ends of the transactions in which they were sent, and then to be handed over."""

    def __init__(self, database: Database, kept: PostgresKeptEvents) -> None:
        self._database = database
        self._kept = kept

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
        """Store an event in the connection's transaction."""
        queries, shards = self._database.queries, self._database.shards
        expires_at = None if expires is None else time_of(expires)
        async with self._database.within(connection):
            if isinstance(target, UUID):
                row = await queries.send_event_within(
                    connection,
                    of_saga=shard_of(target, shards),
                    shard=_SHARD,
                    id=new_uuid(),
                    saga_id=target,
                    message_id=message.id,
                    event=event,
                    body=message.body,
                    expires_at=expires_at,
                    most=MOST_SENT,
                )
            else:
                row = await queries.keep_event_within(
                    connection,
                    of_key=shard_of_key(target[1], shards),
                    shard=_SHARD,
                    id=new_uuid(),
                    name=target[0],
                    aggregation_id=target[1],
                    message_id=message.id,
                    event=event,
                    body=message.body,
                    expires_at=expires_at,
                    keep=KEPT_FOR,
                    for_next=for_next,
                    most=MOST_SENT,
                )
        if row.stored:
            return MessageStatus.STORED
        if row.known:
            return MessageStatus.DUPLICATE
        if row.ended:
            if isinstance(target, UUID):
                return MessageStatus.ENDED
            return await self._kept.after_end(shard_of_key(target[1], shards), target, message.id, connection)
        return MessageStatus.FULL

    async def claim(self, *, lease: timedelta) -> list[SentEvent]:
        """Take some whose transactions are committed."""
        async with self._database.work() as connection:
            rows = await self._database.queries.claim_sent_events(
                connection, shard=_SHARD, lease=lease, most=SENT_AT_ONCE, bytes=ANSWER_BYTES
            )
        return [_sent(row) for row in sorted(rows, key=lambda row: (row.sent_at, row.id))]

    async def remove(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """Forget these."""
        async with self._database.work() as connection:
            return frozenset(await self._database.queries.delete_sent_events(connection, shard=_SHARD, ids=ids))


def _sent(row: SentEventRow) -> SentEvent:
    target: UUID | tuple[str, str]
    if row.saga_id is not None:
        target = row.saga_id
    elif row.name is not None and row.aggregation_id is not None:
        target = (row.name, row.aggregation_id)
    else:  # a CHECK of the table refuses it
        raise StoredDataError("event that was sent", "it is for no saga")
    return SentEvent(
        row.id,
        target,
        InboxMessage(row.message_id, "event", row.body),
        row.event,
        row.sent_at,
        None if row.expires_at is None else moment_of(row.expires_at),
        row.for_next,
    )
