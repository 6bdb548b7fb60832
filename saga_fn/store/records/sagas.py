"""Sagas and their journal entries: as they are written, claimed, read and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from saga_fn.core.events import Event, Started
from saga_fn.core.ids import Moment, PlanId
from saga_fn.core.projection import Projection, SagaStatus, WaitReason
from saga_fn.core.state import SagaState
from saga_fn.store.records.columns import moment_of
from saga_fn.store.records.outgoing import OutgoingRow

NO_LIMITS: Final[Mapping[tuple[str, int], int]] = {}
"""As many of each definition as there are."""
NO_PAUSE: Final = timedelta(0)
"""At once."""
ACKNOWLEDGED: Final = "acknowledged"
"""The kind of the record of an operator who has looked at a saga that FAILED."""
ALL_ENTRIES: Final = 2**62
"""A number that no journal entry has: all of them come before it."""
Attributes: TypeAlias = tuple[tuple[str, str], ...]
"""Search attributes to set: the name of each, and its value as a text whose order is that of the values."""
NO_ATTRIBUTES: Final[Attributes] = ()


class NewSaga(msgspec.Struct, frozen=True, gc=False):
    """A saga to insert, with its first journal entry. `token` and `owner` are set together, when its process runs it."""

    id: UUID
    name: str
    version: int
    aggregation_id: str | None
    trace_id: str
    trace_carrier: bytes | None
    """The headers of the caller's trace: the input of the first journal entry."""
    request: bytes
    state: SagaState
    event: Started
    payload: bytes
    token: UUID | None
    owner: UUID | None
    writer: UUID
    projection: Projection
    """Its `due` counts for a saga without an owner."""
    attributes: Attributes = NO_ATTRIBUTES
    keyed: bool = False
    """Whether its id was made of an idempotency key."""
    outgoing: tuple[OutgoingRow, ...] = ()


class ActiveToken(NamedTuple):
    """A saga that has not ended: the token it is owned under, and whether it waits for a person."""

    token: UUID | None
    parked: bool


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One journal entry to append: an accepted event with the payloads that belong to it.

    `input_of` names the entry whose payload the input is, where it is just that; `input` is None then.
    """

    event: Event
    input: bytes | None = None
    payload: bytes | None = None
    input_of: int | None = None


class SagaWrite(msgspec.Struct, frozen=True, gc=False):
    """The next state of a saga, to be written only if (`token`, `rev`) still stand, with everything that goes with it.

    `release` gives the saga up, due at `due`; else its owner keeps it. `inbox_seen`, the number of messages the writer knows of,
    must stand too; None where a message more does not matter: the saga is kept, and no step starts. `writer` is the token of
    the claim, or for an outsider's single write an id of its own: with (`id`, `rev`) it names the write.
    """

    id: UUID
    token: UUID | None
    rev: int
    state: SagaState
    projection: Projection
    release: bool
    due: Moment | None
    inbox_seen: int | None
    last_error: str | None
    entries: tuple[Entry, ...]
    answers: tuple[tuple[UUID, str], ...]
    writer: UUID
    attributes: Attributes = NO_ATTRIBUTES
    outgoing: tuple[OutgoingRow, ...] = ()


NOTHING_EARLIER: Final[Mapping[UUID, int]] = {}


class Committed(msgspec.Struct, frozen=True, gc=False):
    """The writes that were applied, each with the number of messages its saga has had; and the database's time.

    `earlier` names the sagas whose write brought an outgoing message, and that had one before which is not published: by the
    revision of the last of them.
    """

    inbox_sent: dict[UUID, int]
    now: Moment
    earlier: Mapping[UUID, int] = NOTHING_EARLIER


class Inserted(msgspec.Struct, frozen=True, gc=False):
    """The sagas that were inserted; and the database's time."""

    ids: frozenset[UUID]
    now: Moment


class SeenSaga(msgspec.Struct, frozen=True):
    """A saga as one statement has seen it, at that moment."""

    id: UUID
    name: str
    version: int
    aggregation_id: str | None
    trace_id: str
    plan: PlanId
    state: bytes
    rev: int
    inbox_sent: int
    last_error: str | None
    created_at: datetime
    now: Moment


class ClaimedSaga(SeenSaga, frozen=True):
    """A saga this process now owns under `token`. `previous_owner`: the one whose lease had run out; None if it had given it up.

    `was_due`: since when it was due; None where that is not known, or if it was not.
    """

    token: UUID
    previous_owner: UUID | None
    was_due: Moment | None = None

    @property
    def takeover(self) -> bool:
        """Whether the saga comes from an owner whose lease had run out."""
        return self.previous_owner is not None


class TakenSaga(msgspec.Struct, frozen=True):
    """A saga that this process has taken from its owner, under `token`. `lease_end`: until when that one may still run it."""

    token: UUID
    inbox_sent: int
    lease_end: Moment
    now: Moment


class SagaRecord(msgspec.Struct, frozen=True):
    """A saga's row as it stands. `leased`: its owner's lease is running."""

    id: UUID
    name: str
    version: int
    aggregation_id: str | None
    trace_id: str
    request: bytes
    plan: PlanId
    status: SagaStatus
    waits: WaitReason
    state: bytes
    rev: int
    token: UUID | None
    owner: UUID | None
    due_at: datetime | None
    inbox_sent: int
    retry_counter: int
    last_error: str | None
    parked: str | None
    problem_step: str | None
    acknowledged: bool
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    leased: bool
    now: Moment

    wakes_on_message: bool = True
    """Whether a message makes the saga due while it has no owner."""

    @property
    def is_parked(self) -> bool:
        """Whether it waits for a person, among other things perhaps."""
        return WaitReason.PARKED in self.waits

    @property
    def is_paused(self) -> bool:
        """Whether a person has paused it by itself, and nothing of it runs any more."""
        return WaitReason.PAUSED in self.waits

    @property
    def waits_for_a_plan(self) -> bool:
        """Whether it waits for a plan that fits it."""
        return WaitReason.PLAN in self.waits

    @property
    def waits_for_an_event(self) -> bool:
        """Whether it waits for an event and for no retry, so that it is due once its time for that is over."""
        return self.waits & (WaitReason.EVENT | WaitReason.RETRY) == WaitReason.EVENT

    @property
    def goes_on_by_an_event(self) -> bool:
        """Whether it has no owner, and it waits for an event, and for no person and no plan."""
        return self.owner is None and WaitReason.EVENT in self.waits and self.waits < WaitReason.PARKED

    @property
    def has_failed(self) -> bool:
        """Whether it has ended and left something over."""
        return self.status is SagaStatus.FAILED


class Standing(msgspec.Struct, frozen=True):
    """How a saga stands at one moment for a writer that has had no answer.

    `writer` wrote the journal entry that was asked for; None if there is no such entry.
    """

    rev: int
    token: UUID | None
    inbox_sent: int
    writer: UUID | None
    now: Moment


class JournalRecord(msgspec.Struct, frozen=True):
    """One row of a saga's journal."""

    seq: int
    event: bytes
    writer: UUID
    process: str | None
    """The process that took the saga with it."""
    input: bytes | None
    payload: bytes | None


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """The payloads of one journal entry."""

    input: bytes | None
    payload: bytes | None
    own: bool = False
    """Whether this process has encoded the payload, by the types that it has now."""


class EndedSaga(msgspec.Struct, frozen=True):
    """A saga that has ended and may be deleted, if it is still at that revision then."""

    id: UUID
    rev: int
    era: int
    """The part of the journal that its entries stand in."""


class Tombstone(msgspec.Struct, frozen=True):
    """The rest of a saga that was deleted and whose start had an idempotency key."""

    name: str
    request: bytes
    status: SagaStatus
    ended_at: datetime
    deleted_at: datetime


class RejectionRecord(msgspec.Struct, frozen=True):
    """Something that changed nothing: a late result, a refused verb."""

    kind: str
    detail: str
    recorded_at: datetime


class UnfitSaga(msgspec.Struct, frozen=True):
    """A saga that was parked because a plan did not fit it."""

    id: UUID
    name: str
    version: int
    plan: PlanId
    state: bytes


class DueWork(msgspec.Struct, frozen=True):
    """The facts that the health check reads: the database's time, and since when the longest waiting saga has been due."""

    now: Moment
    next_due: datetime | None
    """When the first of the sagas is due, or since when it has been."""
    newest_era: int | None = None
    """The newest era that the journal has a partition for; None if it is not partitioned."""

    @property
    def oldest_due(self) -> datetime | None:
        """Since when the longest waiting saga has been due."""
        return self.next_due if self.next_due is not None and moment_of(self.next_due) <= self.now else None
