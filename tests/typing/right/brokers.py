"""What is given to publishers and consumers, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

from saga_fn import Event, MemoryStore, SagaOrchestrator
from saga_fn.kafka import KafkaConsumer, KafkaPublisher
from saga_fn.nats import EventFor, IncomingMessage, NatsConsumer, NatsPublisher
from saga_fn.outgoing import OutgoingMessage, Published, Publisher, PublishOutcome
from saga_fn.rabbitmq import RabbitConsumer, RabbitPublisher
from saga_fn.webhook import WebhookPublisher

paid = Event("paid", int)


def read(message: IncomingMessage) -> EventFor[int] | None:
    cents = message.decode(paid)
    assert_type(cents, int)
    return EventFor(target=("order", message.key or ""), event=paid, payload=cents)


async def audit(messages: Sequence[OutgoingMessage]) -> list[PublishOutcome]:
    return [Published() for _ in messages]


each: list[Publisher] = [
    NatsPublisher("nats://localhost"),
    RabbitPublisher("amqp://localhost/"),
    KafkaPublisher("localhost"),
    WebhookPublisher("https://partner.example/", secret=["whsec_new", "whsec_old"]),
]
orchestrator = SagaOrchestrator(MemoryStore(), publishers={"a": each[0], "b.*": audit})
NatsConsumer("nats://localhost", orchestrator, read, stream="s", durable="d", dead_letters="dead")
RabbitConsumer("amqp://localhost/", orchestrator, read, queue="q", dead_letters=None)
KafkaConsumer("localhost", orchestrator, read, topic="t", group="g", dead_letters="dead")
