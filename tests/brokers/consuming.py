"""The three brokers as tests of consumers see them: messages in, what is left, and what lies in the dead letters."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import Any, final
from uuid import uuid4

import aio_pika
import nats
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from typing_extensions import override

from saga_fn import Event, MemoryStore, PayloadError, SagaOrchestrator, SagaRun, StepRef, saga, step
from saga_fn.brokers import EventFor, IncomingMessage
from saga_fn.brokers.consumer import Consumer
from saga_fn.brokers.incoming import Read
from saga_fn.kafka import KafkaConsumer
from saga_fn.nats import NatsConsumer
from saga_fn.rabbitmq import RabbitConsumer
from tests.support.brokers import NatsServer, RabbitServer
from tests.support.kafka import KafkaBroker
from tests.support.until import SOON

WINDOW = 0.1
"""Seconds for which NATS drops repeats here."""
GRACE = timedelta(seconds=5)
Dead = tuple[bytes, Mapping[str, str]]

approval = Event("approval", int)


@step
async def note(order: str) -> str:
    return order


@saga("order")
def order_saga(order: StepRef[str]) -> StepRef[int]:
    note(order)
    return approval.wait()


def read(message: IncomingMessage) -> EventFor[int]:
    """The body is `KEY:NUMBER`."""
    key, number = message.body.decode().split(":")
    return EventFor(target=("order", key), event=approval, payload=int(number))


class Place(ABC):
    """A queue, stream or topic of a test's own, and its dead letters."""

    def __init__(self) -> None:
        self.name = f"q{uuid4().hex[:12]}"
        self.dead = f"{self.name}-dead"

    @property
    @abstractmethod
    def address(self) -> str:
        """The broker's address."""

    @abstractmethod
    async def send(self, *bodies: bytes, id: str | None = None, headers: dict[str, str] | None = None) -> None:
        """Put messages into it, in order; each has an id of its own unless one is given."""

    @abstractmethod
    async def left(self) -> int:
        """How many of its messages are not acknowledged."""

    @abstractmethod
    async def dead_letters(self, number: int) -> list[Dead]:
        """Wait for so many dead letters: body and headers of each."""

    @abstractmethod
    def consumer(self, orchestrator: SagaOrchestrator, read: Read = read, **options: Any) -> Consumer:  # Any: of each
        """A consumer of it."""

    async def emptied(self) -> None:
        """Wait until all are acknowledged."""
        async with asyncio.timeout(SOON):
            while await self.left():
                await asyncio.sleep(0.05)


@final
class NatsPlace(Place):
    def __init__(self, server: NatsServer) -> None:
        super().__init__()
        self.server = server

    @property
    @override
    def address(self) -> str:
        return self.server.url()

    async def open(self) -> None:
        self.client = await nats.connect(self.server.url())
        self.context = self.client.jetstream()
        for name in (self.name, self.dead):
            await self.context.add_stream(StreamConfig(name=name, subjects=[name], duplicate_window=WINDOW))
        # The messages in hand of a consumer that has died come again soon.
        config = ConsumerConfig(durable_name="saga", ack_policy=AckPolicy.EXPLICIT, ack_wait=1)
        await self.context.add_consumer(self.name, config)

    async def close(self) -> None:
        for name in (self.name, self.dead):
            await self.context.delete_stream(name)
        await self.client.close()

    @override
    async def send(self, *bodies: bytes, id: str | None = None, headers: dict[str, str] | None = None) -> None:
        for body in bodies:
            await self.context.publish(self.name, body, headers={**(headers or {}), "Nats-Msg-Id": id or uuid4().hex})

    @override
    async def left(self) -> int:
        info = await self.context.consumer_info(self.name, "saga")
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    @override
    async def dead_letters(self, number: int) -> list[Dead]:
        async with asyncio.timeout(SOON):
            while (await self.context.stream_info(self.dead)).state.messages < number:
                await asyncio.sleep(0.05)
        found = [await self.context.get_msg(self.dead, seq) for seq in range(1, number + 1)]
        return [(each.data or b"", each.headers or {}) for each in found]

    @override
    def consumer(self, orchestrator: SagaOrchestrator, read: Read = read, **options: Any) -> Consumer:  # Any: of each
        options = {"stream": self.name, "durable": "saga", "dead_letters": self.dead, "grace": GRACE, **options}
        return NatsConsumer(self.address, orchestrator, read, **options)


@final
class RabbitPlace(Place):
    def __init__(self, server: RabbitServer) -> None:
        super().__init__()
        self.server = server

    @property
    @override
    def address(self) -> str:
        return self.server.url()

    async def open(self) -> None:
        self.connection = await aio_pika.connect(self.server.url())
        self.channel = await self.connection.channel()
        for name in (self.name, self.dead):
            await self.channel.declare_queue(name, durable=True)

    async def close(self) -> None:
        for name in (self.name, self.dead):
            await self.channel.queue_delete(name)
        await self.connection.close()

    @override
    async def send(self, *bodies: bytes, id: str | None = None, headers: dict[str, str] | None = None) -> None:
        for body in bodies:
            message = aio_pika.Message(body, message_id=id or uuid4().hex, headers=dict(headers or {}), delivery_mode=2)
            await self.channel.default_exchange.publish(message, self.name)

    @override
    async def left(self) -> int:
        """Those that are ready; what a consumer has in hand is seen when it is gone."""
        queue = await self.channel.declare_queue(self.name, passive=True)
        return queue.declaration_result.message_count or 0

    @override
    async def dead_letters(self, number: int) -> list[Dead]:
        queue = await self.channel.get_queue(self.dead)
        found: list[Dead] = []
        async with asyncio.timeout(SOON):
            while len(found) < number:
                if (message := await queue.get(fail=False, no_ack=True)) is None:
                    await asyncio.sleep(0.05)
                else:
                    found.append((message.body, {name: str(value) for name, value in message.headers.items()}))
        return found

    @override
    def consumer(self, orchestrator: SagaOrchestrator, read: Read = read, **options: Any) -> Consumer:  # Any: of each
        options = {"queue": self.name, "dead_letters": self.dead, "grace": GRACE, **options}
        return RabbitConsumer(self.address, orchestrator, read, **options)


@final
class KafkaPlace(Place):
    def __init__(self, broker: KafkaBroker) -> None:
        super().__init__()
        self.broker = broker

    @property
    @override
    def address(self) -> str:
        return self.broker.servers

    async def open(self) -> None:
        for name in (self.name, self.dead):
            self.broker.create(name, partitions=1)
        self.producer = AIOKafkaProducer(bootstrap_servers=self.broker.servers)
        await self.producer.start()
        self.sent = 0

    async def close(self) -> None:
        await self.producer.stop()

    @override
    async def send(self, *bodies: bytes, id: str | None = None, headers: dict[str, str] | None = None) -> None:
        for body in bodies:
            all_headers = {"message-id": id or uuid4().hex, **(headers or {})}
            encoded = [(name, value.encode()) for name, value in all_headers.items()]
            await (await self.producer.send(self.name, body, body.partition(b":")[0], headers=encoded))
            self.sent += 1

    @override
    async def left(self) -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.servers, group_id="saga", enable_auto_commit=False)
        await consumer.start()
        try:
            return self.sent - (await consumer.committed(TopicPartition(self.name, 0)) or 0)
        finally:
            await consumer.stop()

    @override
    async def dead_letters(self, number: int) -> list[Dead]:
        consumer = AIOKafkaConsumer(self.dead, bootstrap_servers=self.broker.servers, auto_offset_reset="earliest")
        await consumer.start()
        found: list[Dead] = []
        try:
            async with asyncio.timeout(SOON):
                while len(found) < number:
                    for records in (await consumer.getmany(timeout_ms=100)).values():
                        for record in records:
                            texts = {name: (value or b"").decode() for name, value in record.headers}
                            found.append((record.value or b"", texts))
        finally:
            await consumer.stop()
        return found

    @override
    def consumer(self, orchestrator: SagaOrchestrator, read: Read = read, **options: Any) -> Consumer:  # Any: of each
        options = {"topic": self.name, "group": "saga", "dead_letters": self.dead, "grace": GRACE, **options}
        options = {"make_consumer": lambda: impatient(self.address, options["topic"]), **options}
        return KafkaConsumer(self.address, orchestrator, read, **options)


def impatient(servers: str, topic: str) -> AIOKafkaConsumer:
    """A client whose group soon knows that it is dead."""
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id="saga",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=1000,
        heartbeat_interval_ms=300,
    )


@contextlib.asynccontextmanager
async def orders(*keys: str) -> AsyncGenerator[tuple[SagaOrchestrator, dict[str, SagaRun[int]]]]:
    """An orchestrator, and a saga for each key that waits for its approval."""
    async with SagaOrchestrator(MemoryStore()) as orchestrator:
        handle = orchestrator.register(order_saga)
        yield orchestrator, {key: await handle.start(key, aggregation_id=key) for key in keys}


def refusing(message: IncomingMessage) -> EventFor[int]:
    """A `read` that raises what holds the message."""
    raise PayloadError(f"cannot read {message.body!r}")
