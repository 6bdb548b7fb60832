"""A broker's message, and the event that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar, final
from uuid import UUID

import attrs

from saga_fn.definition import Event

T = TypeVar("T")


@final
@attrs.frozen(kw_only=True)
class IncomingMessage:
    """A message as a consumer hands it to your `read`."""

    id: str | None
    """The message's id: NATS's `Nats-Msg-Id`, RabbitMQ's `message_id`, Kafka's header `message-id`. Where a message has none it is its
    place in its stream or partition; None in RabbitMQ, which has no places."""
    topic: str
    """The subject, the routing key, or the topic."""
    key: str | None
    """The message's key, if it has one that is text."""
    headers: Mapping[str, str] = attrs.field(repr=False, hash=False)
    """The headers whose values are text."""
    body: bytes = attrs.field(repr=False)
    """The content."""

    def decode(self, event: Event[T], /) -> T:
        """Read the body as the JSON of an event's value.

        Args:
            event: The event.

        Returns:
            The value.

        Raises:
            PayloadError: The body is no such JSON. The message goes to the dead letters.
            TypeValidationError: The event does not say which type it brings.
        """
        return event.payload.decode(self.body)


@final
@attrs.frozen(kw_only=True)
class EventFor(Generic[T]):
    """The event that a message stands for, and its saga. The parts are those of `SagaOrchestrator.to` and `EventSender.send`."""

    target: UUID | tuple[str, str]
    """The saga's id, or its name and `aggregation_id`."""
    event: Event[T]
    """The event."""
    payload: T = attrs.field(repr=False)
    """Its value."""
    event_id: str | None = None
    """The id by which a repeat is known, 1 to 255 characters. Default: None, the message's id."""
    correlation_id: str | None = None
    """The thing that the event is about, where a wait names one. Default: None."""
    expires: timedelta | datetime | None = None
    """The time after which the event is void. Default: None, as for `send`."""
    may_be_new: bool = False
    """Whether the saga's name may be unknown yet. Default: False."""


AnyEventFor: TypeAlias = EventFor[Any]  # Any: each message may bring another type
Read: TypeAlias = Callable[[IncomingMessage], AnyEventFor | None]
"""Says which event a message stands for; None if it is none for a saga. If it raises, the message goes to the dead letters."""
