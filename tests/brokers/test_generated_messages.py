"""Each publisher gives each message a fate, with anything in it: sent as it is, or refused for good with a reason. None raises."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saga_fn import MemoryStore, SagaError, SagaOrchestrator
from saga_fn.brokers.sending import LARGEST_HEADERS
from saga_fn.kafka import KafkaConsumer, KafkaPublisher
from saga_fn.nats import NatsConsumer, NatsPublisher
from saga_fn.outgoing import OutgoingMessage, Published, PublishOutcome, RefusedForGood
from saga_fn.rabbitmq import RabbitConsumer, RabbitPublisher
from saga_fn.webhook import WebhookPublisher
from tests.brokers.messages import outgoing
from tests.support.brokers import NatsServer, RabbitServer
from tests.support.kafka import KafkaBroker
from tests.support.until import SOON

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(), max_size=20),
    st.sampled_from(
        ["", "\ud800", "a\r\nb", "\x00", "a.b", "*", ">", "..", "Nats-Msg-Id", "CC", "Host", "x" * 300, "käse"]
    ),
)
MESSAGES = st.builds(
    outgoing,
    topic=TEXTS,
    body=st.binary(max_size=50).map(lambda body: json.dumps(body.decode("latin-1")).encode()),
    key=st.none() | TEXTS,
    headers=st.dictionaries(TEXTS, TEXTS, max_size=4),
)
BATCHES = st.lists(MESSAGES, min_size=1, max_size=5)
FEW = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


def fates(outcomes: Sequence[PublishOutcome], batch: Sequence[OutgoingMessage]) -> None:
    """Each has one, and a refusal says why on one printable line."""
    assert len(outcomes) == len(batch)
    for outcome in outcomes:
        if not isinstance(outcome, Published):
            assert outcome.reason.isprintable()
            assert 0 < len(outcome.reason) <= 300


@FEW
@given(BATCHES)
def test_webhooks(batch: list[OutgoingMessage]) -> None:
    sent: list[dict[str, Any]] = []  # Any: JSON

    def receive(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(204)

    async def publish() -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(receive))
        outcomes = await WebhookPublisher("https://x/", secret=SECRET, client=client).publish(batch)
        fates(outcomes, batch)
        assert all(isinstance(each, Published | RefusedForGood) for each in outcomes)
        assert len(sent) == sum(isinstance(each, Published) for each in outcomes)
        assert all(len(str(each.headers)) < 2 * LARGEST_HEADERS for each in batch)

    asyncio.run(publish())


@FEW
@given(BATCHES)
def test_nats(nats_server: NatsServer, batch: list[OutgoingMessage]) -> None:
    async def publish() -> None:
        async with NatsPublisher(nats_server.url(), timeout=timedelta(seconds=SOON)) as publisher:
            fates(await publisher.publish(batch), batch)
            (again,) = await publisher.publish([outgoing("nobody.listens")])
            assert "no stream stores its subject" in str(again), "the connection is as it was"

    asyncio.run(publish())


@FEW
@given(BATCHES)
def test_rabbitmq(rabbitmq: RabbitServer, batch: list[OutgoingMessage]) -> None:
    async def publish() -> None:
        async with RabbitPublisher(rabbitmq.url(), timeout=timedelta(seconds=SOON)) as publisher:
            fates(await publisher.publish(batch), batch)
            (again,) = await publisher.publish([outgoing("nobody.listens")])
            assert "no queue takes it" in str(again), "the channel is as it was"

    asyncio.run(publish())


def test_kafka() -> None:
    broker = KafkaBroker()

    async def publish(batch: list[OutgoingMessage]) -> None:
        async with KafkaPublisher(broker.servers, timeout=timedelta(seconds=2)) as publisher:
            fates(await publisher.publish(batch), batch)

    @settings(FEW, max_examples=40)
    @given(BATCHES)
    def run(batch: list[OutgoingMessage]) -> None:
        asyncio.run(publish(batch))

    run()
    broker.close()


HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXTS,
    st.binary(max_size=5),
    st.just(object()),
    st.just([]),
    st.just(print),
)
MAKERS: list[tuple[Callable[..., object], tuple[str, ...]]] = [
    (NatsPublisher, ("address", "timeout")),
    (RabbitPublisher, ("address", "exchange", "timeout")),
    (KafkaPublisher, ("address", "timeout")),
    (WebhookPublisher, ("url", "secret", "timeout", "concurrency")),
    (NatsConsumer, ("address", "orchestrator", "read", "stream", "durable", "dead_letters", "concurrency", "grace")),
    (RabbitConsumer, ("address", "orchestrator", "read", "queue", "dead_letters", "max_attempts", "grace")),
    (KafkaConsumer, ("servers", "orchestrator", "read", "topic", "group", "dead_letters", "on_dropped", "grace")),
]
FITTING: dict[str, object] = {
    "address": "localhost:1",
    "concurrency": 1,
    "dead_letters": "dead",
    "durable": "d",
    "exchange": "e",
    "grace": timedelta(seconds=1),
    "group": "g",
    "max_attempts": 1,
    "on_dropped": None,
    "orchestrator": SagaOrchestrator(MemoryStore()),
    "queue": "q",
    "read": print,
    "secret": SECRET,
    "servers": "localhost:1",
    "stream": "s",
    "timeout": timedelta(seconds=1),
    "topic": "t",
    "url": "https://x/",
}


@pytest.mark.parametrize("make, names", MAKERS)
def test_wrong_arguments_raise_nothing_but_our_errors(make: Callable[..., object], names: tuple[str, ...]) -> None:
    hints: list[str | None] = []

    @settings(FEW, max_examples=100)
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(names, HOSTILE)))
    def run(hostile: dict[str, object]) -> None:
        try:
            make(**{name: FITTING[name] for name in names} | hostile)
        except SagaError as error:
            hints.append(error.hint)

    run()
    assert hints
    assert all(hints)
