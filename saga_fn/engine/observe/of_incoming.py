"""Facts about messages that come from a broker; and what the log says of each. None holds what a message says."""

from __future__ import annotations

import logging
from typing import TypeAlias

from typing_extensions import override

from saga_fn.engine.observe.fact import PROCESS, FactBase, Line


class IncomingTaken(FactBase, frozen=True):
    """A message of a broker has become an event, or was none for a saga, and was acknowledged.

    Attributes:
        source: The queue, stream or topic.
        delivery: The outcome of `send`; None where the message was for no saga.
    """

    source: str
    delivery: str | None


class IncomingDropped(FactBase, frozen=True):
    """A message of a broker came too late: its saga had ended, or the event had expired. It was acknowledged.

    Attributes:
        source: The queue, stream or topic.
        message_id: The message's id, in a form that a log can hold.
        delivery: The outcome of `send`: "ended" or "expired".
    """

    source: str
    message_id: str
    delivery: str

    @override
    def _line(self) -> Line:
        text = "message %s of %s came too late for its saga (%s); it was acknowledged"
        return Line(logging.WARNING, text, (self.message_id, self.source, self.delivery), logger=PROCESS)


class IncomingDead(FactBase, frozen=True):
    """A message of a broker could not be read, and was given to the dead letters.

    Attributes:
        source: The queue, stream or topic.
        message_id: The message's id, in a form that a log can hold.
        reason: The reason, without anything that the message says.
    """

    source: str
    message_id: str
    reason: str

    @override
    def _line(self) -> Line:
        text = "message %s of %s is no event for a saga, and goes to the dead letters: %s"
        return Line(logging.WARNING, text, (self.message_id, self.source, self.reason), logger=PROCESS)


class IncomingWaits(FactBase, frozen=True):
    """A message of a broker cannot be dealt with at the moment: its consumer tries again until it can.

    Attributes:
        source: The queue, stream or topic.
        reason: The reason, without anything that the message says.
    """

    source: str
    reason: str

    @override
    def _line(self) -> Line:
        return Line(logging.WARNING, "messages of %s wait: %s", (self.source, self.reason), logger=PROCESS)


class ConsumerFailed(FactBase, frozen=True):
    """A consumer has lost its broker, and connects again.

    Attributes:
        source: The queue, stream or topic.
        reason: The reason.
    """

    source: str
    reason: str

    @override
    def _line(self) -> Line:
        text = "the consumer of %s has lost its broker, and connects again: %s"
        return Line(logging.WARNING, text, (self.source, self.reason), logger=PROCESS)


class ConsumerLosesBroker(FactBase, frozen=True):
    """A consumer loses its broker again and again, though it can connect: a person should look.

    Attributes:
        source: The queue, stream or topic.
        times: How often that was within the last 5 minutes.
        reason: The reason of the last time.
    """

    source: str
    times: int
    reason: str

    @override
    def _line(self) -> Line:
        text = (
            "the consumer of %s can connect, and has lost its broker %d times in 5 minutes, at last by: %s\n"
            "HINT: if the network and the broker are well, there is a message that the broker's client library cannot read, and "
            "none behind it is taken: take it out by the broker's own means"
        )
        return Line(logging.ERROR, text, (self.source, self.times, self.reason), logger=PROCESS)


IncomingFact: TypeAlias = (
    IncomingTaken | IncomingDropped | IncomingDead | IncomingWaits | ConsumerFailed | ConsumerLosesBroker
)
