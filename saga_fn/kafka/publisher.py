"""Outgoing messages to Kafka."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, Self, final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from saga_fn.brokers.connecting import Connection, connector
from saga_fn.brokers.sending import Shared, UnsendableError, headers_of, seconds_of, send_each, told
from saga_fn.outgoing import FailedForNow, OutgoingMessage, Published, PublishOutcome, RefusedForGood

_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")


@final
class KafkaPublisher:
    """Publishes messages to Kafka: to the topic that they name, in the partition of their key.

    A message counts as published once all replicas in sync have it. The producer is idempotent, so its own repeats are stored
    once; a repeat by another process is stored again, and consumers know it by the header `message-id`.

    Args:
        address: The bootstrap servers, as in "localhost:9092"; or a function that makes an `AIOKafkaProducer`, for all other
            options. Let that one have `acks="all"`, `enable_idempotence=True`, and a `request_timeout_ms` of no more than
            `timeout`.
        timeout: How long a batch may take, as a timedelta; let it be below `OutgoingOptions.timeout`. Default: 5 seconds.

    Raises:
        SagaError: An argument is not what it has to be.
    """

    def __init__(
        self, address: str | Callable[[], AIOKafkaProducer], *, timeout: timedelta = timedelta(seconds=5)
    ) -> None:
        self._timeout = seconds_of(timeout)
        connect = connector(
            _started(address) if callable(address) else address,
            self._by_address,
            example='KafkaPublisher("localhost:9092")',
        )
        self._connection = Connection(connect, lambda _: not self._broken, AIOKafkaProducer.stop)
        self._broken = False

    async def __aenter__(self) -> Self:
        """Connect."""
        _ = await self._producer()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._connection.close()

    async def publish(self, messages: Sequence[OutgoingMessage], /) -> list[PublishOutcome]:
        """Publish a batch; see `saga_fn.outgoing.Publisher`.

        Args:
            messages: The messages.

        Returns:
            An outcome for each, in order. A message that is too large, or that has an unusable topic or header, is refused for
            good.
        """
        producer = await self._producer()

        async def send(message: OutgoingMessage) -> PublishOutcome:
            if not _TOPIC.fullmatch(message.topic):
                raise UnsendableError("its topic is no topic of Kafka: letters, digits and ._- are, up to 249")
            headers = [(name, value.encode()) for name, value in _headers(message).items()]
            key = None if message.key is None else message.key.encode()
            confirmed = await producer.send(message.topic, message.body, key, headers=headers)
            _ = await confirmed
            return Published()

        return await send_each(messages, send, self._judge, within=self._timeout)

    def _by_address(self, servers: str) -> Callable[[], Awaitable[AIOKafkaProducer]]:
        def make() -> AIOKafkaProducer:
            return AIOKafkaProducer(
                bootstrap_servers=servers.split(","),
                acks="all",
                enable_idempotence=True,
                # A record that is not confirmed by then must not leave later: it is published again.
                request_timeout_ms=max(1, int(self._timeout * 1000)),
            )

        return _started(make)

    async def _producer(self) -> AIOKafkaProducer:
        producer = await self._connection.get()
        self._broken = False
        return producer

    def _judge(self, error: BaseException) -> PublishOutcome | Shared:
        match error:
            # The records of a partition travel together, and the broker weighs and refuses them together.
            case MessageSizeTooLargeError() | RecordListTooLargeError():
                return Shared(RefusedForGood("it is larger than the producer sends, or than its topic takes"))
            case InvalidTopicError():
                return RefusedForGood("its topic is no topic of Kafka")
            case UnknownTopicOrPartitionError():
                return FailedForNow("there is no such topic")
            case TopicAuthorizationFailedError():
                return FailedForNow("the user is not allowed to write to its topic")
            case TimeoutError() | KafkaTimeoutError():
                return FailedForNow("it was not confirmed in time: does its topic exist?")
            case KafkaError() if error.retriable:
                return FailedForNow(told(error))
            case _:
                self._broken = True  # an idempotent producer that has lost its number does nothing more
                return FailedForNow(told(error))


def _started(make: Callable[[], AIOKafkaProducer]) -> Callable[[], Awaitable[AIOKafkaProducer]]:
    async def connect() -> AIOKafkaProducer:
        producer = make()
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    return connect


def _headers(message: OutgoingMessage) -> dict[str, str]:
    own = {"message-id": str(message.id), "content-type": "application/json", "saga-id": str(message.saga_id)}
    return {**headers_of(message), **own, "saga-name": message.saga_name}
