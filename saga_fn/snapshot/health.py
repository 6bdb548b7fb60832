"""Whether a process can do its work, and the findings for a person."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import msgspec


class AttentionKind(enum.StrEnum):
    """A kind of finding that a person should look at. Its value is a stable code, the name of a section of `docs/attention.md`."""

    PARKED = "parked"
    """Sagas wait for a person; their snapshots say why."""
    UNOWNED = "unowned"
    """Sagas are due, but no process that was seen lately works on their name and version."""
    MISFIT = "misfit"
    """Sagas are due, and a process that works on them has a definition that does not fit what they have done."""
    OVERDUE = "overdue"
    """Sagas of this process's definitions have been due for longer than a minute."""
    FAILED = "failed"
    """Sagas ended FAILED within the last day; their snapshots say what is left over."""
    STILL = "still"
    """A process has worked on sagas for an hour, and nothing of them has become durable: a step hangs, as a rule."""
    CLOCK = "clock"
    """The clock of this process and that of the database differ by more than five seconds."""
    PAUSED = "paused"
    """A name, everything, or single sagas have been paused for longer than an hour."""
    SLOTS_HELD = "slots_held"
    """The same sagas have held all slots of this process for minutes, so that no other one runs here."""
    SUSPECTS = "suspects"
    """Sagas that were taken over again and again without progress wait for their turns, each apart from others."""
    DEAF = "deaf"
    """This process gets no notification, because of a pooler, and finds sagas by looking only."""
    RIGHTS = "rights"
    """The role of this process has not all the rights of any kind of process; a call that lacks one is refused."""
    JOURNAL_MONTHS = "journal_months"
    """The journal is partitioned, and has partitions for three more months at most."""
    DEAD_MESSAGES = "dead_messages"
    """Outgoing messages are dead: they were refused for good, or failed as often as they are tried."""
    MESSAGES_WAIT = "messages_wait"
    """Outgoing messages have waited for longer than ten minutes: their broker is down, or no process has its publisher."""
    PUBLISHER = "publisher"
    """A publisher, or a hook, of this process goes on with a call though that was cut short after its time limit."""
    CONSUMER = "consumer"
    """A consumer of this process loses its broker again and again, though it can connect."""
    RETENTION = "retention"
    """Sagas of a definition are kept though their retention is over: the archive or the store has failed in this process."""


class Attention(msgspec.Struct, frozen=True):
    """One finding that a person should look at. It is no fault of this process."""

    kind: AttentionKind
    """The kind of the finding."""
    text: str
    """The same in words."""
    sagas: int = 0
    """The number of sagas that it is about, where they were counted; 1,000 stands for 1,000 or more."""
    saga_name: str | None = None
    """The name of these sagas, if they have one in common."""
    version: int | None = None
    """The version of their definition, if they have one in common."""
    saga_ids: tuple[UUID, ...] = ()
    """Some of the sagas, three at most."""


class Health(msgspec.Struct, frozen=True):
    """Whether this process can do its work, and which findings a person should look at.

    A probe uses `ok`: it is False if this process cannot do its work, in any state of the sagas. An alert uses `attention`,
    which never changes `ok`: a restart of this process would not help.
    """

    ok: bool
    """Whether this process can do its work."""
    database: bool
    """Whether the database answers."""
    schema: bool
    """Whether the schema fits this library."""
    worker: bool
    """Whether the worker loop runs. It is also True where none is wanted (`concurrency=0`, a pool or MemoryStore not entered)."""
    in_flight: int
    """The number of sagas that this process runs now."""
    oldest_due: datetime | None
    """The time since when the longest waiting saga of this process's definitions has been due."""
    problems: tuple[str, ...]
    """The faults of this process, in words; empty if `ok`."""
    attention: tuple[Attention, ...] = ()
    """The findings for a person; `AttentionKind` has all kinds."""
