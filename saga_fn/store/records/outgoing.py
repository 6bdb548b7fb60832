"""Outgoing messages: as they are written, held by the process that publishes them, and shown."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import msgspec


class OutgoingRow(msgspec.Struct, frozen=True, gc=False):
    """An outgoing message to be written with the journal entry that makes it true."""

    rev: int
    n: int
    topic: str
    key: str
    headers: bytes | None
    body: bytes
    token: UUID | None
    """The token of the process that publishes it, for as long as `lease`; None leaves it to the process that takes it."""
    lease: timedelta
    made: float
    """The monotonic time of this process when it was made. The lease counts from the statement that writes it, which is later."""


class HeldMessage(msgspec.Struct, frozen=True, gc=False):
    """An outgoing message that this process holds, to publish it."""

    saga_id: UUID
    rev: int
    n: int
    topic: str
    key: str
    headers: bytes | None
    body: bytes
    attempts: int
    """How often it was tried before."""
    created_at: datetime
    saga_name: str
    version: int


class FailedMessage(msgspec.Struct, frozen=True, gc=False):
    """A failed attempt to publish a message: it is tried again after `delay`, unless it is dead."""

    saga_id: UUID
    rev: int
    n: int
    delay: timedelta
    error: str
    is_dead: bool


class OutgoingRecord(msgspec.Struct, frozen=True):
    """An outgoing message as it stands in the store."""

    saga_id: UUID
    rev: int
    n: int
    topic: str
    key: str
    headers: bytes | None
    body: bytes
    attempts: int
    error: str | None
    due_at: datetime
    dead_at: datetime | None
    blocks: bool
    created_at: datetime
    is_held: bool


class OutgoingCounts(msgspec.Struct, frozen=True):
    """How many outgoing messages there are; `MOST_COUNTED` a shard stand for as many or more."""

    waiting: int
    oldest: datetime | None
    """When the oldest of those that were counted was written."""
    dead: int


Place: TypeAlias = tuple[UUID, int, int]
"""A message's saga, the revision that it is of, and its place in that."""
