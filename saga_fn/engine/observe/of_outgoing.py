"""Facts about outgoing messages and their publishers; and what the log says of each. None holds what a message says."""

from __future__ import annotations

import logging
from typing import TypeAlias
from uuid import UUID

from typing_extensions import override

from saga_fn.engine.observe.fact import PROCESS, FactBase, Line
from saga_fn.errors import StoreError
from saga_fn.printable import counted, printable


class MessagesTried(FactBase, frozen=True):
    """A publisher was given outgoing messages, or a hook was called.

    Attributes:
        topics: The key that the publisher was given by, or the hook's name.
        published: How many of them it has published.
        failed: How many of them it has not.
    """

    topics: str
    published: int
    failed: int


class MessageDied(FactBase, frozen=True):
    """An outgoing message is not tried any more: it was refused for good, or failed as often as it is tried.

    Attributes:
        saga_id: The saga that it comes from.
        topic: Its topic.
        message_id: Its id.
        attempts: How often it was tried.
    """

    saga_id: UUID
    topic: str
    message_id: UUID
    attempts: int

    @override
    def _line(self) -> Line:
        text = "message %s of saga %s for topic %s is dead after %s: see it with SagaAdmin.outgoing, then redrive or discard it"
        args = (self.message_id, self.saga_id, printable(self.topic), counted(self.attempts, "attempt"))
        return Line(logging.ERROR, text, args, logger=PROCESS)


class PublisherFailed(FactBase, frozen=True):
    """The publisher of these topics publishes nothing at present; its messages wait.

    Attributes:
        topics: The key that it was given by: a topic, or a prefix with a star.
        reason: The failure in words.
        error: The type name of what it raised; None if it has said itself that it failed. Default: None.
        hangs: Whether its call goes on though it was cut short. Default: False.
    """

    topics: str
    reason: str
    error: str | None = None
    hangs: bool = False

    @override
    def _line(self) -> Line:
        if self.hangs:
            text = "the publisher of %s goes on with a call that was cut short, its messages wait: it must not swallow CancelledError"
            return Line(logging.WARNING, text, (printable(self.topics),), logger=PROCESS)
        if self.error is None:
            text = "the publisher of %s fails, its messages wait: SagaAdmin.outgoing says why"
            return Line(logging.WARNING, text, (printable(self.topics),), logger=PROCESS)
        text = "the publisher of %s fails (%s), its messages wait: SagaAdmin.outgoing says why"
        return Line(logging.WARNING, text, (printable(self.topics), self.error), logger=PROCESS)


class PublisherRecovered(FactBase, frozen=True):
    """The publisher of these topics publishes again.

    Attributes:
        topics: The key that it was given by.
    """

    topics: str

    @override
    def _line(self) -> Line:
        return Line(logging.INFO, "the publisher of %s works again", (printable(self.topics),), logger=PROCESS)


class RelayHeldUp(FactBase, frozen=True):
    """The store does not take what has become of outgoing messages: some may be published twice, under the same id.

    Or it does not give those that wait, if `is_taking`.
    """

    error: StoreError
    is_taking: bool = False

    @override
    def _line(self) -> Line:
        text = "what became of outgoing messages cannot be written: %s"
        if self.is_taking:
            text = "outgoing messages that wait cannot be taken: %s"
        return Line(logging.WARNING, text, (self.error.fact,), logger=PROCESS)


OutgoingFact: TypeAlias = MessagesTried | MessageDied | PublisherFailed | PublisherRecovered | RelayHeldUp
