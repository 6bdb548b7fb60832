"""What publishers and consumers do not take."""

from __future__ import annotations

from saga_fn import Event, MemoryStore, SagaOrchestrator
from saga_fn.nats import EventFor, IncomingMessage, NatsConsumer, NatsPublisher
from saga_fn.webhook import WebhookPublisher

paid = Event("paid", int)
orchestrator = SagaOrchestrator(MemoryStore())


def text(message: IncomingMessage) -> str:
    return message.topic


async def late(message: IncomingMessage) -> EventFor[int] | None:
    return None


# refused: misc | reportArgumentType
EventFor(target=("order", "a"), event=paid, payload="9")
# refused: arg-type | reportArgumentType
EventFor(target="order", event=paid, payload=9)
# refused: arg-type | reportArgumentType
NatsPublisher(4222)
# refused: arg-type | reportArgumentType
NatsPublisher("nats://localhost", timeout=5)
# refused: arg-type | reportArgumentType
WebhookPublisher("https://partner.example/", secret=b"whsec_")
# refused: arg-type | reportArgumentType
NatsConsumer("nats://localhost", orchestrator, text, stream="s", durable="d", dead_letters="dead")
# refused: arg-type | reportArgumentType
NatsConsumer("nats://localhost", orchestrator, late, stream="s", durable="d", dead_letters="dead")
# refused: call-arg | reportCallIssue
NatsConsumer("nats://localhost", orchestrator, lambda _: None, stream="s", durable="d")
