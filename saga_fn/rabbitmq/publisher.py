"""Outgoing messages to RabbitMQ."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, Self, final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, DeliveryMode
from aio_pika.exceptions import (
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)

from saga_fn.brokers.connecting import Connection, connector
from saga_fn.brokers.sending import Shared, UnsendableError, headers_of, seconds_of, send_each, told
from saga_fn.errors import SagaError, is_a, shown
from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, PublishOutcome, RefusedForGood
from saga_fn.rabbitmq.connecting import by_address

_LONGEST_NAME: Final = 255
"""Bytes of a routing key, and of an exchange's name."""
ROUTES: Final = frozenset({"cc", "bcc"})
"""Headers by which RabbitMQ sends a message to more queues than its exchange does."""


@final
class RabbitPublisher:
    """Publishes messages to an exchange of RabbitMQ: the topic is the routing key.

    A message counts as published once the broker has confirmed it and at least one queue has taken it. It is persistent, and has
    its id as `message_id`. RabbitMQ drops no repeats: consumers know one by that id.

    Args:
        address: The address of the broker, as in "amqp://user:password@localhost/"; or an async function that connects.
        exchange: The name of the exchange, which must exist. Default: "", the one that brings a message to the queue of its
            topic's name.
        mandatory: Whether a message that no queue takes is tried again. Default: True. With False the broker drops it.
        timeout: How long a batch may take, as a timedelta; let it be below `OutgoingOptions.timeout`. Default: 5 seconds.

    Raises:
        SagaError: An argument is not what it has to be.
    """

    def __init__(
        self,
        address: str | Callable[[], Awaitable[AbstractConnection]],
        *,
        exchange: str = "",
        mandatory: bool = True,
        timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        if not is_a(exchange, str) or len(exchange.encode("utf-8", "replace")) > _LONGEST_NAME:
            raise SagaError(
                f"an exchange has a name of at most {_LONGEST_NAME} bytes, not {shown(exchange)}",
                hint='exchange="orders"',
            )
        self._exchange = exchange
        self._mandatory = mandatory
        self._timeout = seconds_of(timeout)
        connect = connector(address, by_address, example='RabbitPublisher("amqp://localhost/")')
        self._connection = Connection(connect, _is_alive, lambda connection: connection.close())
        self._channel = Connection(self._open, _is_open, lambda channel: channel.close())

    async def __aenter__(self) -> Self:
        """Connect, and open a channel."""
        _ = await self._channel.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close both."""
        await self._end()

    async def publish(self, messages: Sequence[OutgoingMessage], /) -> list[PublishOutcome]:
        """Publish a batch; see `saga_fn.outgoing.Publisher`.

        Args:
            messages: The messages.

        Returns:
            An outcome for each, in order. A message that is too large, or that has an unusable topic or header, is refused for
            good.
        """
        return await send_each(messages, self._send, _judge, within=self._timeout, anew=self._end)

    async def _end(self) -> None:
        await self._channel.close()
        await self._connection.close()

    async def _open(self) -> AbstractChannel:
        return await (await self._connection.get()).channel(publisher_confirms=True, on_return_raises=True)

    async def _send(self, message: OutgoingMessage) -> PublishOutcome:
        made = _made(message)
        channel = await self._channel.get()
        exchange = await self._exchange_of(channel)
        await exchange.publish(made, message.topic, mandatory=self._mandatory)
        return Published()

    async def _exchange_of(self, channel: AbstractChannel) -> AbstractExchange:
        return await channel.get_exchange(self._exchange, ensure=False) if self._exchange else channel.default_exchange


def _made(message: OutgoingMessage) -> aio_pika.Message:
    if len(message.topic.encode()) > _LONGEST_NAME:
        raise UnsendableError(f"its topic is longer than {_LONGEST_NAME} bytes, which is the longest routing key")
    headers = headers_of(message, ROUTES)
    own = {"saga-id": str(message.saga_id), "saga-name": message.saga_name}
    if message.key is not None:
        own["message-key"] = message.key
    return aio_pika.Message(
        message.body,
        headers={**headers, **own},
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(message.id),
        timestamp=message.created_at,
    )


def _is_alive(connection: AbstractConnection) -> bool:
    return not connection.is_closed and connection.connected.is_set()


def _is_open(channel: AbstractChannel) -> bool:
    return not channel.is_closed


def _judge(error: BaseException) -> PublishOutcome | Shared:
    match error:
        case TimeoutError():
            return FailedForNow("it was not confirmed in time")
        case PublishError():
            return FailedForNow("no queue takes it: is there one for its topic?")
        case DeliveryError():
            return FailedForNow("the broker could not store it")
        case ChannelNotFoundEntity():
            return FailedForNow(f"there is no such exchange: {told(error)}")
        # The broker closes the channel for one message, and the connection if more come by the channel meanwhile.
        case ChannelPreconditionFailed():
            return Shared(RefusedForGood(told(error)))
        # The client tells the others by a handful of errors, and those that it had not sent yet by others again.
        case _:
            return Shared(FailedForNow(told(error)))
