"""The messages of a saga that no owner has read yet: outside events and operators' verbs that are stored for it."""

from __future__ import annotations

from typing import Final

import msgspec

from saga_fn.core.events import Event, EventReceived
from saga_fn.core.ids import Moment
from saga_fn.engine.drive.incoming import Incoming
from saga_fn.engine.drive.message import event_in, judge
from saga_fn.engine.engine import SagaEngine
from saga_fn.snapshot import UnreadMessage
from saga_fn.store.records import InboxMessage, SagaRecord

MOST_UNREAD_SHOWN: Final = 32
"""No more of them are shown."""


class Unread(msgspec.Struct, frozen=True):
    """A message, and the event that it asks for; None if it cannot be read."""

    message: UnreadMessage
    event: Event | None


async def unread_of(engine: SagaEngine, row: SagaRecord) -> tuple[Unread, ...]:
    """The first messages that the saga's next owner reads. One that has ended has no next owner."""
    if row.ended_at is not None or not row.inbox_sent:
        return ()
    found: list[Unread] = []
    for unread in await engine.store.unread(row.id, most=MOST_UNREAD_SHOWN):
        message = unread.message
        event = _event(engine, row, message, row.now)
        name = event.name if isinstance(event, EventReceived) else ""
        verb = message.kind if message.is_verb else None
        found.append(Unread(UnreadMessage(message.id, name or None, verb, unread.sent_at, event is not None), event))
    return tuple(found)


def _event(engine: SagaEngine, row: SagaRecord, message: InboxMessage, at: Moment) -> Event | None:
    """As its owner would judge it, as far as this process knows the definition."""
    registered = engine.registry.find(row.name, row.version)
    if registered is None or registered.definition.plan.id != row.plan:
        return event_in(message, at)
    judged = judge(registered.definition, message, at, most=engine.options.max_payload_bytes)
    return judged.event if isinstance(judged, Incoming) else None
