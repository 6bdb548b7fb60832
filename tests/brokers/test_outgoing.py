"""From a step's `publish` to the real broker: each message at least once under one id, in the order of its saga, through kills."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aio_pika
import httpx
import nats
import pytest
from aiokafka import AIOKafkaConsumer
from nats.aio.client import Client
from nats.js.api import StreamConfig

from saga_fn import MemoryStore, SagaAdmin, SagaOrchestrator
from saga_fn.kafka import KafkaPublisher
from saga_fn.nats import NatsPublisher
from saga_fn.outgoing import Publisher
from saga_fn.rabbitmq import RabbitPublisher
from saga_fn.webhook import WebhookPublisher
from tests.brokers.publishing_process import LEASE, OPTIONS, STEPS, telling
from tests.support.brokers import NatsServer, RabbitServer
from tests.support.kafka import KafkaBroker
from tests.support.until import SOON

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SAGAS = 20
TOPIC = "orders.told"
ROOT = Path(__file__).parents[2]
Found = list[tuple[str, str, int]]
"""Saga, id and content of each message, in the order of the broker."""


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of NATS, and a stream for the messages."""
    client = await nats.connect(nats_server.url())
    await client.jetstream().add_stream(StreamConfig(name="TOLD", subjects=["orders.>"]))
    yield client
    async with asyncio.timeout(SOON):
        while not client.is_connected:
            await asyncio.sleep(0.05)
    await client.jetstream().delete_stream("TOLD")
    await client.close()


async def of_nats(client: Client, messages: int) -> Found:
    """The messages of the stream, once there are so many."""
    context = client.jetstream()
    async with asyncio.timeout(3 * SOON):
        while True:
            try:
                state = (await context.stream_info("TOLD")).state
                if state.messages >= messages:
                    found = [await context.get_msg("TOLD", seq) for seq in range(state.first_seq, state.last_seq + 1)]
                    if len(ids := {(each.headers or {})["Nats-Msg-Id"] for each in found}) >= messages:
                        assert len(ids) == messages
                        return [
                            (
                                (each.headers or {})["Saga-Id"],
                                (each.headers or {})["Nats-Msg-Id"],
                                int(each.data or b""),
                            )
                            for each in found
                        ]
            except nats.errors.Error:
                pass  # it is away
            await asyncio.sleep(0.1)


def in_order(found: Found, sagas: set[str]) -> bool:
    """Each saga's messages are all there, and each came first in its turn."""
    firsts: dict[str, list[int]] = defaultdict(list)
    seen = set[str]()
    for saga_id, id, number in found:
        if id not in seen:
            firsts[saga_id].append(number)
        seen.add(id)
    return dict(firsts) == {saga_id: list(range(STEPS)) for saga_id in sagas}


async def publish_all(publisher: Publisher) -> set[str]:
    """Run sagas that publish to it, until all is sent; gives their ids."""
    async with SagaOrchestrator(MemoryStore(), publishers={"orders.*": publisher}, outgoing=OPTIONS) as orchestrator:
        handle = orchestrator.register(telling)
        runs = [await handle.start(0) for _ in range(SAGAS)]
        for run in runs:
            assert await run.result(timeout=SOON) == STEPS
        async with asyncio.timeout(SOON):
            for run in runs:
                while await orchestrator.engine.store.outgoing.of_saga(run.id, most=10):
                    await asyncio.sleep(0.02)
        return {str(run.id) for run in runs}


async def test_by_nats(nats_server: NatsServer, client: Client) -> None:
    sagas = await publish_all(NatsPublisher(nats_server.url()))
    assert in_order(await of_nats(client, SAGAS * STEPS), sagas)


async def test_by_rabbitmq(rabbitmq: RabbitServer) -> None:
    async with await aio_pika.connect(rabbitmq.url()) as connection, connection.channel() as channel:
        queue = await channel.declare_queue(TOPIC, durable=True)
        sagas = await publish_all(RabbitPublisher(rabbitmq.url()))
        found: Found = []
        while (message := await queue.get(fail=False, no_ack=True)) is not None:
            found.append((str(message.headers["saga-id"]), message.message_id or "", int(message.body)))
        await channel.queue_delete(TOPIC)
    assert in_order(found, sagas)


async def test_by_kafka(kafka: KafkaBroker) -> None:
    kafka.create(TOPIC, partitions=3)
    sagas = await publish_all(KafkaPublisher(kafka.servers))
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=kafka.servers, auto_offset_reset="earliest")
    await consumer.start()
    found: Found = []
    async with asyncio.timeout(SOON):
        while len(found) < SAGAS * STEPS:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    headers = {name: (value or b"").decode() for name, value in record.headers}
                    found.append((headers["saga-id"], headers["message-id"], int(record.value or b"")))
    await consumer.stop()
    assert in_order(found, sagas)


async def test_by_webhook() -> None:
    found: Found = []

    def receive(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        found.append((body["key"], request.headers["webhook-id"], body["data"]))
        return httpx.Response(204)

    client = httpx.AsyncClient(transport=httpx.MockTransport(receive))
    sagas = await publish_all(WebhookPublisher("https://partner.example/", secret=SECRET, client=client))
    assert in_order(found, sagas)


async def test_a_broker_that_is_killed_under_load_has_every_message_in_order_and_no_saga_is_harmed(
    nats_server: NatsServer, client: Client, dsn: str
) -> None:
    publisher = NatsPublisher(nats_server.url(), timeout=timedelta(seconds=1))
    async with SagaOrchestrator(
        dsn, publishers={"orders.*": publisher}, outgoing=OPTIONS, lease=LEASE, poll_interval=timedelta(seconds=0.2)
    ) as orchestrator:
        handle = orchestrator.register(telling)
        runs = [await handle.start(0) for _ in range(SAGAS)]
        nats_server.kill()
        try:
            runs += [await handle.start(0) for _ in range(SAGAS)]
            for run in runs:  # they go on while the broker is away
                assert await run.result(timeout=SOON) == STEPS
        finally:
            nats_server.start()
        runs += [await handle.start(0) for _ in range(SAGAS)]
        assert in_order(await of_nats(client, 3 * SAGAS * STEPS), {str(run.id) for run in runs})


async def test_a_process_that_is_killed_while_it_publishes_leaves_nothing_unsent_and_nothing_out_of_order(
    nats_server: NatsServer, client: Client, dsn: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.brokers.publishing_process", dsn, nats_server.url(), "1000"),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    sagas = set[str]()
    async with asyncio.timeout(2 * SOON):
        while len(sagas) < 3 * SAGAS:
            sagas.add((await process.stdout.readline()).decode().strip())
    process.kill()
    rest, _ = await process.communicate()
    sagas |= set(rest.decode().split("\n")[:-1])
    publisher = NatsPublisher(nats_server.url())
    async with SagaOrchestrator(
        dsn, publishers={"orders.*": publisher}, outgoing=OPTIONS, lease=LEASE, poll_interval=timedelta(seconds=0.2)
    ) as orchestrator:
        handle = orchestrator.register(telling)
        rows = [row async for row in SagaAdmin(orchestrator).list_all()]
        started = {str(row.id) for row in rows}
        assert sagas <= started  # of the last ones it may not have told
        for row in rows:
            assert await handle.attach(row.id).result(timeout=2 * SOON) == STEPS
        assert in_order(await of_nats(client, len(started) * STEPS), started)
