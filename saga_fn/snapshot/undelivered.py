"""Events that no saga has got yet, and outgoing messages that no broker has confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from saga_fn.printable import HidingStruct


class KeptEvent(HidingStruct, frozen=True):
    """An event for a business key under which no saga is active yet."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"payload"})

    saga_name: str
    """The name of the saga that it is for."""
    aggregation_id: str
    """The business key of that saga."""
    event: str
    """The name of the event."""
    payload: object  # a repr may end in a log, and payloads do not belong there
    """Its value, as plain JSON."""
    sent_at: datetime
    """The time when it was sent."""
    expires_at: datetime
    """The time when it is void."""


class UnsentMessage(HidingStruct, frozen=True, kw_only=True):
    """An outgoing message that no broker has confirmed yet."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"payload"})

    id: UUID
    """Its id, the same at each attempt."""
    saga_id: UUID
    """The saga that it comes from."""
    topic: str
    """Its topic; for the call of a hook the hook's name."""
    is_hook: bool
    """Whether it is the call of a hook."""
    key: str
    """Its key."""
    headers: Mapping[str, str]
    """Its headers."""
    payload: object  # a repr may end in a log, and payloads do not belong there
    """Its payload, as plain JSON; bytes that are none stay as they are."""
    attempts: int
    """The number of attempts so far."""
    error: str | None
    """Why the last attempt failed, or None."""
    created_at: datetime
    """The time of the commit that wrote it."""
    next_attempt: datetime | None
    """The earliest time of the next attempt; None for a dead one. While a process holds it, that is the end of its lease."""
    dead_at: datetime | None
    """Since when it is dead: it waits for `redrive` or `discard`. None for one that is tried."""
    blocks: bool
    """Whether the later messages of its saga wait for it."""
