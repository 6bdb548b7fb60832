"""The facts that a step may ask for beside its input."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, TypeVar, final
from uuid import UUID

from typing_extensions import override

from saga_fn.codec.carrier import NO_CARRIER
from saga_fn.definition.outgoing import Draft, Outlet, check_topic
from saga_fn.definition.waits.event import Event, check_event
from saga_fn.errors import SagaDefinitionError, shown
from saga_fn.printable import HidingStruct

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")


def _check_received(value: object) -> None:
    match value:
        case (str(), bytes()):
            pass
        case _:
            raise SagaDefinitionError(
                f"received_event must be a name and the bytes of a payload, not {shown(value)}",
                hint='received_event=("approval", b"true")',
            )


class StepContext(HidingStruct, frozen=True):
    """The facts that a step may ask for beside its input: annotate its second parameter `StepContext`."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"outlet"})

    saga_id: UUID
    """The saga's id."""
    saga_name: str
    """The saga's name."""
    step_id: str
    """The step's id in its saga."""
    attempt: int
    """The number of the execution in this direction, from 1. After a rewind it is higher than any before."""
    idempotency_key: str
    """The same over every retry and crash of this step in this direction: send it to the system that you call.

    A step that a person has taken back has another one in either direction: nothing of its run before answers for it.
    """
    trace_id: str
    """The id for logs that the saga was started with."""
    deadline: datetime | None
    """The time when this attempt's timeout is over; None without one."""
    generation: int = 0
    """How often it was given another input than before, by an event or an operator. Each has another key. Default: 0."""
    trace_carrier: Mapping[str, str] = NO_CARRIER
    """The headers of the trace that the saga was started in, as a tracing library reads them. Default: none."""
    received_event: tuple[str, bytes] | None = None
    """The name and the payload of the event that a compensation has waited for; ask `received` for it. Default: None."""
    rewound: int = 0
    """The journal entry of the latest `rewind` that took the step back, 0 if none has. Default: 0."""
    outlet: Outlet | None = None
    """Where the messages of `publish` go; the engine sets it. Default: None, `publish` only judges them."""

    def __post_init__(self) -> None:
        """Judge an event that a test gives."""
        if self.received_event is not None:
            _check_received(self.received_event)

    @override
    def __hash__(self) -> int:
        return hash((self.idempotency_key, self.attempt))

    @property
    def operation(self) -> str:
        """A name for the work of this step in this saga, the same in every direction: for a participant's guard.

        After a `rewind` the step's work is another one, and so is its compensation's: nothing of the former answers for it.
        """
        operation = f"{self.saga_id}:{self.step_id}"
        return f"{operation}:{self.rewound}" if self.rewound else operation

    @property
    def run(self) -> str:
        """A name for this one execution: its idempotency key and its attempt."""
        return f"{self.idempotency_key}:{self.attempt}"

    def publish(
        self, topic: str, payload: object, *, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish a message with this step, or with this compensation, if it succeeds.

        The message is written by the commit that makes the success durable, and given to a broker after it. A failed attempt
        publishes nothing. Messages are judged, and written as JSON, at this call. If one is refused, the step is parked
        (`output_lost`), for the attempt has begun and cannot be finished; that holds, too, if the step catches the error, or raises
        another one. A call after the step has returned publishes nothing.

        Args:
            topic: The topic, 1 to 255 printable characters. This process must have a publisher for it.
            payload: A value that can be written as JSON, or bytes, which stay as they are.
            key: The key, 1 to 255 characters. Default: None, the saga's `aggregation_id`, or its id.
            headers: A mapping of strings, 8,192 bytes at most. Default: None, no headers.

        Raises:
            PayloadError: The message cannot be stored, there are 100 of this attempt, or the topic has no publisher.
            PayloadTooLargeError: It takes more than `max_payload_bytes`, or all messages of this attempt take more than 4 MiB
                together (or more than `max_payload_bytes`, if that is more).
            SagaDefinitionError: The topic is no topic.

        Example::

            ctx.publish("orders.paid", {"order": order.id}, key=order.id)
        """
        if self.outlet is None:
            check_topic(topic)
            _ = Draft.of(topic, payload, key=key, headers=headers, most=None)
        else:
            self.outlet.collect(self.run, topic, payload, key, headers)

    def received(self, event: Event[T]) -> T | None:
        """Give the value of the event that the compensation was waiting for.

        Args:
            event: The event.

        Returns:
            The value, or None if the compensation is called for another reason.

        Raises:
            SagaDefinitionError: `event` is no Event.
            PayloadError: The stored value is not of the event's type.
            TypeValidationError: The event does not say which type it brings.
        """
        check_event(event)
        if self.received_event is None or self.received_event[0] not in event.names:
            return None
        return event.payload.decode(self.received_event[1])


@final
class TransactionalContext(StepContext, frozen=True, kw_only=True):
    """The same for a transactional step, or a transactional compensation, with the connection of its transaction.

    Annotate the second parameter of a step so (the third of a compensation). Its rows and its result are one commit, or there is none.
    """

    _hidden: ClassVar[frozenset[str]] = frozenset({"outlet", "connection"})

    if TYPE_CHECKING:
        connection: asyncpg.Connection[asyncpg.Record]
    else:  # the driver is not imported with this, and `inspect.signature` and `help` ask for what stands here
        connection: object
    """An asyncpg connection in an open transaction. Use it until the step returns, and in one task at a time.

    COMMIT and ROLLBACK are not for the step: it is parked if it ends its transaction. `connection.transaction()` is a savepoint.
    """
