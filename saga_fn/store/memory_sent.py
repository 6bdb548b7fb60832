"""Events that are sent in callers' transactions, in memory: there are none, for it takes part in no transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import final
from uuid import UUID

from saga_fn.core.ids import Moment
from saga_fn.errors import StoreError
from saga_fn.store.connection import CallerConnection
from saga_fn.store.records import InboxMessage, MessageStatus, SentEvent


@final
class MemorySentEvents:
    """No events: a caller who brings a connection is refused."""

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
        """Raise StoreError."""
        refuse(connection)
        return MessageStatus.NO_ACTIVE_SAGA

    async def claim(self, *, lease: timedelta) -> list[SentEvent]:
        """None."""
        return []

    async def remove(self, ids: Sequence[UUID]) -> frozenset[UUID]:
        """None."""
        return frozenset()


def refuse(connection: CallerConnection | None) -> None:
    """Raise StoreError for a connection."""
    if connection is not None:
        raise StoreError(
            "a MemoryStore cannot take part in a connection's transaction",
            hint="leave `connection` out, or use PostgreSQL.",
        )
