"""The processes that work on sagas, and what is counted and noticed of these."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec

from saga_fn.core.ids import PlanId
from saga_fn.core.projection import SagaStatus, WaitReason
from saga_fn.store.records.columns import NO_REASON

Definition: TypeAlias = tuple[str, int, PlanId]
"""A definition that a process works on: a name, a version, and the fingerprint of the plan that it has for them."""


class Process(msgspec.Struct, frozen=True):
    """A process that works on sagas."""

    id: UUID
    """The owner that its claims name."""
    process: str
    """For people: its host and its number there."""
    definitions: tuple[Definition, ...]
    """The definitions that it works on."""


class CountKind(enum.StrEnum):
    """The kinds of numbers about the sagas of a name and version."""

    NOW = "now"
    """No number: the store's time."""
    LIVE = "live"
    """Those that have not ended, of one status and one set of reasons to wait."""
    OVERDUE = "overdue"
    """Those that have been due for long; and since when the first is due."""
    FAILED = "failed"
    """Those that ended FAILED, and that no operator has acknowledged."""
    ENDED = "ended"
    """Those that ended in one minute with one status."""
    WORKS = "works"
    """The processes that work on them."""
    PAUSED = "paused"
    """No number: the name is paused; the empty name is everything."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A number about the sagas of one name and version, in one shard perhaps: those of several are added up."""

    kind: CountKind
    name: str = ""
    version: int = 0
    sagas: int = 0
    status: SagaStatus | None = None
    waits: WaitReason = NO_REASON
    minute: int | None = None
    """For ends: how many minutes after the moment from which they were counted."""
    moment: datetime | None = None
    is_cut: bool = False
    """Whether counting stopped in this minute: it, and those before it, have more ends."""


class SeenProcess(msgspec.Struct, frozen=True):
    """Where a process runs, and when it last said what it works on."""

    process: str
    """For people: its host and its number there."""
    seen_at: datetime


class Notice(enum.StrEnum):
    """The findings about sagas."""

    PARKED = "parked"
    """They wait for a person."""
    UNOWNED = "unowned"
    """They are due, and no process works on their name and version."""
    FAILED = "failed"
    """They ended FAILED, and no operator has acknowledged it."""
    PAUSED = "paused"
    """A person has paused them one by one, and nothing of them has become durable for long."""
    STILL = "still"
    """A process works on them, and nothing of them has become durable for long."""


class Noticed(msgspec.Struct, frozen=True):
    """A finding about the sagas of one name and version."""

    kind: Notice
    name: str
    version: int
    sagas: int
    """How many there are; `MOST_COUNTED` stands for as many or more."""
    ids: tuple[UUID, ...]
    """Some of them."""
