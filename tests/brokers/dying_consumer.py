"""A process that stores an event, says so, and never acknowledges its message: the test kills it there."""

from __future__ import annotations

import asyncio
import functools
import sys

import msgspec

from saga_fn import Delivery, SagaOrchestrator
from saga_fn.brokers.consumer import Consumer
from saga_fn.kafka import KafkaConsumer
from saga_fn.nats import NatsConsumer
from saga_fn.rabbitmq import RabbitConsumer
from saga_fn.sender import EventSender
from tests.brokers.consuming import impatient, order_saga, read

_send = EventSender[int].send


async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
    """Store the event, and then stand still."""
    delivery = await _send(self, payload, **options)  # type: ignore[arg-type] # as they came
    print(delivery.value, flush=True)
    await asyncio.sleep(3600)
    return delivery


def consumer_of(orchestrator: SagaOrchestrator, kind: str, address: str, name: str, dead: str) -> Consumer:
    """The consumer of that broker."""
    match kind:
        case "NatsPlace":
            return NatsConsumer(address, orchestrator, read, stream=name, durable="saga", dead_letters=dead)
        case "RabbitPlace":
            return RabbitConsumer(address, orchestrator, read, queue=name, dead_letters=dead)
        case _:
            client = functools.partial(impatient, address, name)
            return KafkaConsumer(
                address, orchestrator, read, topic=name, group="saga", dead_letters=dead, make_consumer=client
            )


async def main(dsn: str, *where: str) -> None:
    EventSender.send = send  # type: ignore[method-assign, assignment] # the window that the test aims at
    orchestrator = SagaOrchestrator(dsn)
    orchestrator.register(order_saga)
    async with orchestrator, consumer_of(orchestrator, *where):
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(*msgspec.json.decode(sys.argv[1], type=list[str])))
