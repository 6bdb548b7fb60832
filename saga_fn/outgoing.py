"""Outgoing messages: a saga's news for other services, and what publishes them.

A step publishes by `StepContext.publish`, or its definition says so by `publishes=`. Each message is written by the commit that makes
it true. After that commit it is given to the publisher of its topic, at least once, always under the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Literal, Protocol, TypeAlias, final
from uuid import UUID

import msgspec

from saga_fn.arguments import check_whole, micros_of
from saga_fn.errors import SagaError, is_a, shown
from saga_fn.printable import HidingStruct


@final
class OutgoingMessage(HidingStruct, frozen=True, kw_only=True):
    """A message as its publisher is given it."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"body"})

    id: UUID
    """The message's id. It is the same at each attempt, in each process, for ever: brokers and consumers drop repeats by it."""
    topic: str
    """The topic, as the saga named it."""
    key: str | None
    """The key, for brokers that have keys: by default the saga's `aggregation_id`, or the saga's id where it has none."""
    headers: Mapping[str, str]
    """The headers that the saga gave it."""
    body: bytes
    """The payload, as JSON."""
    saga_id: UUID
    """The id of the saga that it comes from."""
    saga_name: str
    """The name of that saga."""
    created_at: datetime
    """The time of the commit that wrote it."""
    attempt: int
    """The number of this attempt, from 1. It is told to the publisher once per attempt."""


@final
class Published(msgspec.Struct, frozen=True):
    """The broker has it: it confirmed the message, or knew it as a duplicate."""


@final
class RefusedForGood(msgspec.Struct, frozen=True):
    """The broker will never take this message: it is dead at once, and waits for an operator."""

    reason: str
    """The refusal in words, for an operator. It is stored."""


@final
class FailedForNow(msgspec.Struct, frozen=True):
    """The broker has not confirmed it: it is tried again later, up to `OutgoingOptions.max_attempts` times."""

    reason: str
    """The failure in words, for an operator. It is stored."""
    after: timedelta | None = None
    """How much later to try it again, if the broker says so. Default: None, the growing delays of `OutgoingOptions`."""


PublishOutcome: TypeAlias = Published | RefusedForGood | FailedForNow
"""The fate of one message in one attempt."""


class Publisher(Protocol):
    """Gives messages to a broker.

    One that is also an async context manager is entered before its first batch, in the event loop of the orchestrator, and left when
    the orchestrator is left. If entering raises, that is tried again at growing delays, and its messages wait. Each call has a time
    limit, `OutgoingOptions.timeout`, and is cancelled after it. Let it end then: one that goes on is told of, and its messages wait.
    """

    async def publish(self, messages: Sequence[OutgoingMessage], /) -> Sequence[PublishOutcome]:
        """Publish a batch, and return once the fate of each message is known.

        A batch has at most one message of each saga, so its messages may be sent in any order, and at the same time. No second call
        begins before the first has returned.

        Args:
            messages: The messages, 1 to `OutgoingOptions.batch` of them.

        Returns:
            An outcome for each message, in the same order. An exception counts as FailedForNow for each of them.
        """
        ...


PublishFunction: TypeAlias = Callable[[Sequence[OutgoingMessage]], Awaitable[Sequence[PublishOutcome]]]
"""An async function that does what `Publisher.publish` does; it may stand for a publisher."""


OnDead: TypeAlias = Literal["block", "skip"]
"""The fate of a saga's later messages once one is dead: they wait until an operator has decided, or go past it."""


@final
class OutgoingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an orchestrator gives messages to its publishers."""

    timeout: timedelta = timedelta(seconds=10)
    """How long one call of a publisher, or of a hook, may take, as a timedelta of at most 365 days. Default: 10 seconds."""
    max_attempts: int = 100
    """How often a message is tried before it is dead, 1 or more. Default: 100, which takes some 8 hours."""
    first_delay: timedelta = timedelta(seconds=1)
    """How long after its first failure a message is tried again, as a timedelta; then twice as long each time. Default: 1 second."""
    longest_delay: timedelta = timedelta(minutes=5)
    """The longest delay between two attempts, as a timedelta. Default: 5 minutes."""
    on_dead: OnDead = "block"
    """Whether a dead message holds its saga's later ones ("block"), or they go past it ("skip"). Default: "block"."""
    batch: int = 100
    """How many messages a publisher is given at once, 1 or more. Default: 100."""
    waiting: int = 1000
    """How many messages wait in memory for one publisher, 1 or more; further ones wait in the database. Default: 1000."""

    def __post_init__(self) -> None:
        """Judge what was given."""
        for name in ("timeout", "first_delay", "longest_delay"):
            micros_of(name, getattr(self, name), error=SagaError, hint="e.g. timedelta(seconds=10)")
        for name in ("max_attempts", "batch", "waiting"):
            check_whole(name, getattr(self, name), least=1)
        if not is_a(self.on_dead, str) or self.on_dead not in ("block", "skip"):
            raise SagaError(
                f"on_dead must be 'block' or 'skip', not {shown(self.on_dead)}",
                hint="'block' keeps the order of a saga's messages, 'skip' lets the later ones go past one that is dead",
            )


def message_id(saga_id: UUID, rev: int, n: int) -> UUID:
    """Give the id of an outgoing message: a hash of its place, so that it is the same for ever.

    Args:
        saga_id: The saga that it comes from.
        rev: The number of the journal entry that made it true.
        n: Its place among the messages of that entry, from 0.

    Returns:
        A UUID (version 8).
    """
    place = saga_id.bytes + rev.to_bytes(8) + n.to_bytes(4)
    number = int.from_bytes(hashlib.blake2b(place, digest_size=16, person=b"saga_fn outgoing").digest())
    return UUID(int=number & ~(0xF000 << 64 | 0xC000 << 48) | (8 << 76) | (2 << 62))
