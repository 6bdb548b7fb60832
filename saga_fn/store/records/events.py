"""Events on their way to a saga: sent to one, kept for a business key, and what became of each."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from saga_fn.core.ids import Moment
from saga_fn.store.records.processes import Definition
from saga_fn.store.records.sagas import NO_PAUSE, ClaimedSaga, SeenSaga

OF_SENT: Final = -1
"""Among due shards, and none: events that were sent in callers' transactions are due."""
Hint: TypeAlias = UUID | Moment
"""Told to other processes: that this saga has messages, or that something may be due since that moment."""
FIRST_KEY: Final = ("", "")
"""Every name and business key comes after it."""


class InboxMessage(msgspec.Struct, frozen=True):
    """Something for the saga's owner: an operator's verb or an outside event."""

    id: UUID
    kind: str
    body: bytes

    @property
    def is_verb(self) -> bool:
        """Whether it is an operator's verb."""
        return self.kind != "event"


class UnreadRecord(msgspec.Struct, frozen=True):
    """A message that no owner has answered."""

    message: InboxMessage
    sent_at: datetime
    inbox_sent: int
    """The number of messages that the saga has had at the moment of that look."""


class VerbAnswer(msgspec.Struct, frozen=True):
    """A verb that was left for the owner of a saga, as one look finds it."""

    answer: str | None
    """None while no owner has read it."""
    has_ended: bool
    """Whether the saga has ended."""
    is_owned: bool
    """Whether the saga has an owner, which may answer yet."""


class MessageStatus(enum.Enum):
    """The outcome of leaving a message for a saga."""

    STORED = enum.auto()
    DUPLICATE = enum.auto()
    """It was there already, or the saga had got it in another way."""
    NO_ACTIVE_SAGA = enum.auto()
    """There is no such saga, or it has ended: nothing was stored."""
    FULL = enum.auto()
    """As many wait unread as may: nothing was stored."""
    ENDED = enum.auto()
    """A saga of that business key has ended, and none is active: nothing was stored."""


class SentEvent(msgspec.Struct, frozen=True):
    """An event that was sent in a caller's transaction, on its way to its saga; `id` is its row's, the message has its own."""

    id: UUID
    target: UUID | tuple[str, str]
    """The saga's id, or its name and its `aggregation_id`."""
    message: InboxMessage
    event: str
    sent_at: datetime
    expires: Moment | None
    for_next: bool


class KeyedEvent(msgspec.Struct, frozen=True):
    """The part of an event, beside its id, that a business key remembers until it expires."""

    name: str
    expires: Moment | None


class Sought(NamedTuple):
    """A business key that an event is for."""

    name: str
    aggregation_id: str
    event_id: UUID


class Recipient(NamedTuple):
    """Who gets an event that is sent to a business key."""

    saga_id: UUID | None
    """The saga that is active under the key."""
    known: bool
    """Whether the event was sent to the key before."""
    has_kept: bool
    """Whether other events wait for the key: they come first."""


class EventToSend(msgspec.Struct, frozen=True):
    """An event on its way to a saga, with others in one statement."""

    saga_id: UUID
    message: InboxMessage
    fits: frozenset[Definition]
    """The definitions that its sender has judged it by: a saga of any other one does not get it."""
    token: UUID | None = None
    """With a token the saga is claimed by it, if it is free and waits for an event and for no person."""
    to_key: KeyedEvent | None = None
    """Where it was sent to the saga's business key, which remembers it then."""
    grace: timedelta = NO_PAUSE
    """How long after that a saga without an owner is due that was not claimed: its sender reads the event meanwhile."""


class SendStatus(enum.Enum):
    """The outcome of an event, judged by itself. But for `STORED`, nothing was stored of it."""

    STORED = enum.auto()
    DUPLICATE = enum.auto()
    """The saga had got it before."""
    NO_SAGA = enum.auto()
    """There is no such saga."""
    UNFIT = enum.auto()
    """The saga has another definition than those that it was judged by."""
    ENDED = enum.auto()
    FULL = enum.auto()
    """As many wait unread as may."""
    LOCKED = enum.auto()
    """Another session had the saga's row locked at this moment."""


class Sent(msgspec.Struct, frozen=True):
    """The outcome of an event, and how its saga stands."""

    status: SendStatus
    definition: Definition | None = None
    """The definition of the saga, if there is one."""
    claim: ClaimedSaga | None = None
    """The saga, where the event has claimed it."""
    is_alone: bool = False
    """Whether the event is the one message of the saga that is unread."""
    is_owned: bool = False
    """Whether the saga has an owner now."""
    free: SeenSaga | None = None
    """The saga with the event, where it has no owner and the event is the one message that is unread."""


NO_SAGA: Final = Sent(SendStatus.NO_SAGA)


class Fate(msgspec.Struct, frozen=True):
    """The answer to an event that was stored, and who could give one, as of one snapshot."""

    answer: str | None
    """None while no process has read it."""
    has_ended: bool
    """Whether the saga has."""
    is_free: bool
    """Whether the saga has no owner, and has not ended."""
    definition: Definition
    wakes_on_message: bool
    """Whether a message makes the saga due: not if it waits for a person, and no message can change that."""


class KeptEvent(msgspec.Struct, frozen=True):
    """An event for whatever saga of that name is, or will be, active under a business key; a message until then."""

    name: str
    aggregation_id: str
    id: UUID
    event: str
    body: bytes
    sent_at: datetime
    expires_at: datetime
