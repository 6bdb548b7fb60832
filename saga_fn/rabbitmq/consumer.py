"""Events from RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue, DeliveryMode
from typing_extensions import override

from saga_fn.brokers.connecting import connector
from saga_fn.brokers.consumer import Consumer, Received, about_dead, named, named_apart, of_texts
from saga_fn.brokers.incoming import IncomingMessage, Read
from saga_fn.brokers.intake import OnDropped
from saga_fn.errors import shown
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.printable import name_of_type
from saga_fn.rabbitmq.connecting import by_address
from saga_fn.rabbitmq.publisher import ROUTES

_ALONE: Final = 10.0
"""Seconds."""
_OF_THE_BROKER: Final = ROUTES | {"x-death"}
"""Headers by which RabbitMQ sends a copy elsewhere too, or takes it for one that goes in a circle, which it drops."""


@final
class RabbitConsumer(Consumer):
    """Takes messages from a queue of RabbitMQ and sends each as an event to its saga.

    A message is acknowledged once its fate is known: stored, a repeat, or too late. Those for one saga are sent in the order in
    which they come, others at the same time. It is an async context manager.

    Args:
        address: The address of the broker, as in "amqp://user:password@localhost/"; or an async function that connects.
        orchestrator: The orchestrator that sends the events; enter it before.
        read: Says which event a message stands for: `EventFor`, or None for one that is for no saga. It is a plain function.
            If it raises, the message goes to the dead letters.
        queue: The name of the queue, which must exist.
        dead_letters: The name of a queue to which a copy of what cannot be read is published, with `dead-letter-reason`. None
            rejects the message instead, for the dead-letter exchange of the queue itself; a queue that has none would drop it.
        on_dropped: An async function that is told of each message that came too late, with `Delivery.ENDED` or `Delivery.EXPIRED`,
            before it is acknowledged; again if it raises. Default: None, the log tells it.
        concurrency: How many messages are sent at once, 1 to 10,000. Up to four times as many are in hand, so that others pass
            those for a busy saga, or a full one. If so many wait, all wait with them. Default: 50.
        max_attempts: How often a message is tried that has no saga, or that its saga does not take, 1 or more. Then it goes
            to the dead letters. One whose saga has too many unread events waits instead. Default: 5, which takes
            some 2 seconds.
        grace: How long leaving waits for what is in hand, as a timedelta. Default: 10 seconds.

    Raises:
        SagaError: An argument is not what it has to be.
    """

    def __init__(
        self,
        address: str | Callable[[], Awaitable[AbstractConnection]],
        orchestrator: SagaOrchestrator,
        read: Read,
        *,
        queue: str,
        dead_letters: str | None,
        on_dropped: OnDropped | None = None,
        concurrency: int = 50,
        max_attempts: int = 5,
        grace: timedelta = timedelta(seconds=10),
    ) -> None:
        super().__init__(
            orchestrator,
            read,
            source=named("queue", queue),
            on_dropped=on_dropped,
            concurrency=concurrency,
            max_attempts=max_attempts,
            grace=grace,
        )
        self._connect = connector(address, by_address, example='RabbitConsumer("amqp://localhost/", ...)')
        self._dead_letters = None if dead_letters is None else named_apart("dead_letters", dead_letters, self._source)
        self._connection: AbstractConnection | None = None
        self._queue: AbstractQueue | None = None
        self._graveyard: AbstractChannel | None = None
        self._channel: AbstractChannel | None = None
        self._gone = asyncio.Event()
        self._why = ""

    @override
    async def _open(self) -> None:
        self._gone, self._why = asyncio.Event(), ""
        self._connection = await self._connect()
        self._channel = channel = await self._connection.channel()
        self._queue = await channel.get_queue(self._source)
        channel.close_callbacks.add(self._lost)
        # If the queue is deleted, the broker ends the consumer and leaves the channel open.
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(self._lost)
        self._graveyard = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        if self._dead_letters is not None:
            _ = await self._graveyard.get_queue(self._dead_letters)

    def _lost(self, *told: object) -> None:
        why = next((each for each in told if isinstance(each, BaseException)), None)
        if why is not None and not self._gone.is_set():  # what it says may hold bytes of a message
            self._why = f": {name_of_type(why)}"
        self._gone.set()

    @override
    def _mend(self) -> str:
        dead = "" if self._dead_letters is None else f", and one {shown(self._dead_letters)}"
        return f"is the broker there, and has it a queue {shown(self._source)}{dead}?"

    @override
    async def _take(self) -> None:
        while not self._stopping.is_set():
            await self._take_on()

    async def _take_on(self) -> None:
        """Take messages until this is left, or, while the broker is lost often, for some seconds.

        Then they come one by one. A queue that counts deliveries, and gives up a message after so many, gives up the one alone at
        which the connection is lost.
        """
        assert self._channel is not None
        assert self._queue is not None
        alone = self._is_lost_often
        await self._channel.set_qos(prefetch_count=1 if alone else self._most_in_hand)
        tag = await self._queue.consume(self._receive)
        waits = [asyncio.create_task(each.wait()) for each in (self._stopping, self._gone)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=_ALONE if alone else None)
        finally:
            for wait in waits:
                wait.cancel()
        if self._gone.is_set():
            raise ConnectionError(f"the connection, the channel or the queue is gone{self._why}")
        await self._queue.cancel(tag)

    async def _receive(self, arrived: AbstractIncomingMessage) -> None:
        headers = of_texts(arrived.headers)
        message = IncomingMessage(
            id=arrived.message_id,
            topic=arrived.routing_key or "",
            key=headers.get("message-key"),
            headers=headers,
            body=arrived.body,
        )

        async def bury(reason: str) -> None:
            if self._dead_letters is None:
                await arrived.reject(requeue=False)
                return
            assert self._graveyard is not None
            # The sender's CC would put the copy into the sender's queues once more, this one among them.
            kept = {name: value for name, value in arrived.headers.items() if name.lower() not in _OF_THE_BROKER}
            copy = aio_pika.Message(
                arrived.body,
                headers={**kept, **about_dead(self._source, reason)},
                content_type=arrived.content_type,
                content_encoding=arrived.content_encoding,
                delivery_mode=DeliveryMode.PERSISTENT,
                message_id=arrived.message_id,
                type=arrived.type,
            )
            _ = await self._graveyard.default_exchange.publish(copy, self._dead_letters)
            await arrived.ack()

        _ = self._begin(Received(message, arrived.ack, bury, lambda: arrived.nack(requeue=True)))

    @override
    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
