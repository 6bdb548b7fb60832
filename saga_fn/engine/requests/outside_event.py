"""An event from outside, on its way to a saga, and what its sender is told of it."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from saga_fn.arguments import check_key
from saga_fn.core.events import EventReceived
from saga_fn.core.ids import Digest, Moment
from saga_fn.definition.correlation import fingerprint
from saga_fn.engine.drive.message import event_message
from saga_fn.store.ids import new_uuid
from saga_fn.store.records import InboxMessage


class Delivery(enum.StrEnum):
    """The outcome of an event when `send` returns. With each of them the event was dealt with, or is safely stored."""

    ACCEPTED = "accepted"
    """A wait has taken it: the saga goes on with it."""
    BUFFERED = "buffered"
    """It is stored for the saga, which will take it when it waits for one."""
    KEPT = "kept"
    """It is stored for the saga of that key, until it expires: none is active yet, or the inbox of the active one is full.

    Where none is active it is so if no saga of that key has ended before, or if the event is `for_next`.
    """
    DUPLICATE = "duplicate"
    """An event with this `event_id` was accepted before; this one was dropped."""
    EXPIRED = "expired"
    """It was void when it came."""
    ENDED = "ended"
    """The saga had ended, or the last one of that key; the event was dropped."""
    NO_SAGA = "no_saga"
    """No saga of that key is active, and it was not to be kept (`keep=False`): it was dropped."""
    UNCOMMITTED = "uncommitted"
    """It is part of the transaction of `connection`. When that is committed it is sent, and never if it is rolled back.

    An event that its saga's end has overtaken by then is dropped, and the log says so.
    """


class OutsideEvent(msgspec.Struct, frozen=True):
    """An event on its way to a saga. Its id, which makes it one of a kind, is that of its message."""

    id: UUID
    name: str
    payload: bytes
    correlation_id: str | None = None
    expires: Moment | None = None

    def received(self, at: Moment) -> EventReceived:
        """The event for the core."""
        correlation = Digest(b"") if self.correlation_id is None else fingerprint(self.correlation_id)
        return EventReceived(at, self.name, correlation, self.expires)

    def message(self) -> InboxMessage:
        """It, as it lies in an inbox."""
        return event_message(self.id, self.received(Moment(0)), self.payload)


def id_of(name: str, event_id: str | None) -> UUID:
    """The id that an event gets: always the same for the same name and `event_id`."""
    if event_id is None:
        return new_uuid()
    whole = "".join((f"{len(name)}:", name, event_id)).encode("utf-8", "surrogatepass")
    return UUID(bytes=hashlib.blake2b(whole, digest_size=16).digest(), version=5)


def enveloped(event: Mapping[str, Any]) -> OutsideEvent | None:  # Any: JSON
    """The event that a dict with the keys of an envelope stands for; None for any other dict. Raises PayloadError."""
    name, payload = event.get("event_type"), event.get("payload")
    if not isinstance(name, str) or "payload" not in event:
        return None
    event_id, correlation_id = event.get("event_id"), event.get("correlation_id")
    check_key("event_id", event_id)
    if correlation_id is not None:
        fingerprint(correlation_id)
    return OutsideEvent(id_of(name, event_id), name, msgspec.json.encode(payload), correlation_id)
