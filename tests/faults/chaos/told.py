"""What the driver of the chaos run was told by the library, and could hold it to."""

from __future__ import annotations

from collections import Counter, defaultdict
from uuid import UUID

import attrs


@attrs.frozen
class Sent:
    """An event that was sent: to a saga, or to a name and key; `answer` is the library's."""

    target: UUID | tuple[str, str]
    number: int
    answer: str


@attrs.frozen
class Asked:
    """A verb that was called. `answer`: True for applied, False for refused, None where that is not known."""

    saga: UUID
    verb: str
    reason: str
    answer: bool | None


@attrs.frozen
class Stopped:
    """A process that stood still between two moments of the machine's clock."""

    pid: int
    since: float
    until: float


@attrs.define
class Told:
    """All of it."""

    started: dict[UUID, str] = attrs.field(factory=dict)
    """Sagas whose start was acknowledged, and how they were started."""
    rolled_back: set[UUID] = attrs.field(factory=set)
    """Sagas that were started in a transaction which was rolled back."""
    keyed: defaultdict[tuple[str, str], list[tuple[UUID, bool]]] = attrs.field(factory=lambda: defaultdict(list))
    """By saga name and idempotency key: what the start answered, and whether it said that it created the saga."""
    ends: list[tuple[UUID, str]] = attrs.field(factory=list[tuple[UUID, str]])
    """How sagas had ended, as callers were told who awaited them."""
    sent: list[Sent] = attrs.field(factory=list[Sent])
    asked: list[Asked] = attrs.field(factory=list[Asked])
    stopped: list[Stopped] = attrs.field(factory=list[Stopped])
    discarded: set[tuple[str, str]] = attrs.field(factory=set)
    """Names and keys whose kept events were discarded."""
    faults: Counter[str] = attrs.field(factory=Counter[str])
    deeds: Counter[str] = attrs.field(factory=Counter[str])
    refusals: Counter[str] = attrs.field(factory=Counter[str])
    """Errors of the library that calls ended in, by type."""
    strange: list[str] = attrs.field(factory=list[str])
    """What should not have come out of a call, a process or its log at all."""
