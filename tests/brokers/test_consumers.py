"""Messages of each broker become events once; they are acknowledged when their fate is known, or go to the dead letters."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import aio_pika
import msgspec
import pamqp.encode
import pytest
from aiokafka import AIOKafkaConsumer
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from pamqp.commands import Basic
from pamqp.common import FieldTable, FieldValue

from saga_fn import Delivery, MemoryStore, SagaError, SagaOrchestrator, StoreUnavailableError
from saga_fn.backoff import Backoff
from saga_fn.brokers import EventFor, IncomingMessage, consumer
from saga_fn.engine.observe.of_incoming import ConsumerLosesBroker, IncomingDead, IncomingTaken, IncomingWaits
from saga_fn.engine.requests.event_checks import too_many_kept, too_many_unread
from saga_fn.kafka import KafkaConsumer
from saga_fn.rabbitmq import RabbitConsumer
from saga_fn.sender import EventSender
from tests.brokers.consuming import (
    WINDOW,
    KafkaPlace,
    NatsPlace,
    Place,
    RabbitPlace,
    approval,
    impatient,
    order_saga,
    orders,
    read,
    refusing,
)
from tests.support.brokers import NatsServer, RabbitServer
from tests.support.kafka import UNKNOWN_TOPIC, KafkaBroker
from tests.support.observed import Observed
from tests.support.until import SOON, until
from tests.support.wire import Wire


class NoId:
    """Stands for the UUID that the client gives to a message without an id."""

    hex = None

    def __init__(self, **_: object) -> None: ...


BROKERS = ["nats", "rabbitmq", "kafka"]


@pytest.fixture(params=BROKERS)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A queue, stream or topic of each broker in turn."""
    made: NatsPlace | RabbitPlace | KafkaPlace
    match request.param:
        case "nats":
            made = NatsPlace(request.getfixturevalue("nats_server"))
        case "rabbitmq":
            made = RabbitPlace(request.getfixturevalue("rabbitmq"))
        case _:
            made = KafkaPlace(request.getfixturevalue("kafka"))
    await made.open()
    yield made
    await made.close()


async def test_a_message_becomes_the_event_of_its_saga_and_is_acknowledged(place: Place) -> None:
    async with orders("a", "b") as (orchestrator, runs), place.consumer(orchestrator):
        await place.send(b"a:1", b"b:2")
        assert await runs["a"].result(timeout=SOON) == 1
        assert await runs["b"].result(timeout=SOON) == 2
        await place.emptied()


async def test_a_repeat_is_acknowledged_and_counts_once(place: Place) -> None:
    async with orders("a") as (orchestrator, runs), place.consumer(orchestrator):
        observed = Observed(orchestrator)
        await place.send(b"a:1", headers={"x": "1"}, id="m-1")
        await observed.until(IncomingTaken)
        await runs["a"].result(timeout=SOON)
        if isinstance(place, NatsPlace):  # which drops repeats itself, for so long
            await asyncio.sleep(2 * WINDOW)
        await place.send(b"a:1", headers={"x": "1"}, id="m-1")
        await observed.until(IncomingTaken, lambda fact: fact.delivery == "duplicate")
        await place.emptied()


async def test_a_message_for_a_saga_that_has_ended_is_told_and_acknowledged(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="saga_fn")
    async with orders("a") as (orchestrator, runs), place.consumer(orchestrator):
        observed = Observed(orchestrator)
        await place.send(b"a:1")
        await runs["a"].result(timeout=SOON)
        await place.send(b"a:31337", id="late")
        await observed.until(IncomingTaken, lambda fact: fact.delivery == "ended")
        await place.emptied()
    assert f"message late of {place.name} came too late for its saga (ended)" in caplog.text
    assert "31337" not in caplog.text


async def test_a_hook_is_told_of_it_until_it_has_understood(place: Place) -> None:
    told: list[tuple[bytes, Delivery]] = []

    async def on_dropped(message: IncomingMessage, delivery: Delivery) -> None:
        told.append((message.body, delivery))
        if len(told) == 1:
            raise RuntimeError("not now")

    def expired(message: IncomingMessage) -> EventFor[int]:
        return EventFor(target=("order", "a"), event=approval, payload=1, expires=timedelta(microseconds=1))

    async with orders("a") as (orchestrator, _), place.consumer(orchestrator, expired, on_dropped=on_dropped):
        await place.send(b"a:1")
        await until(lambda: len(told) == 2)
        await place.emptied()
    assert told == [(b"a:1", Delivery.EXPIRED)] * 2


@pytest.mark.parametrize(
    "body", [b"", b"no number", b"a:x", b"\xff\xfe", b"a:1:2", pytest.param(b"x" * 256 + b":1", id="long")]
)
async def test_what_cannot_be_read_goes_to_the_dead_letters_and_nothing_waits_for_it(
    place: Place, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with orders("a") as (orchestrator, runs), place.consumer(orchestrator):
        await place.send(body, headers={"trace": "abc"})
        await place.send(b"a:1")
        assert await runs["a"].result(timeout=SOON) == 1
        ((dead, headers),) = await place.dead_letters(1)
        await place.emptied()
    assert dead == body
    assert (headers["dead-letter-source"], headers["trace"]) == (place.name, "abc")
    assert "Error" in headers["dead-letter-reason"]
    assert "no number" not in caplog.text


async def test_what_read_says_of_the_message_is_in_no_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with orders() as (orchestrator, _), place.consumer(orchestrator, refusing):
        await place.send(b"secret-31337")
        ((_, headers),) = await place.dead_letters(1)
    assert "31337" not in caplog.text + headers["dead-letter-reason"]


@pytest.mark.parametrize("given", [5, "approval", (1, 2), object()])
async def test_a_read_that_gives_something_else_sends_the_message_to_the_dead_letters(
    place: Place, given: object
) -> None:
    async with orders() as (orchestrator, _), place.consumer(orchestrator, lambda _: given):  # type: ignore[arg-type, return-value] # that is the test
        await place.send(b"a:1")
        ((_, headers),) = await place.dead_letters(1)
    assert "no EventFor" in headers["dead-letter-reason"]


@pytest.mark.parametrize(
    "target", [None, ("order",), ["order", "a"], ("order", 5), ("unknown", "a"), ("order", "x" * 256)]
)
async def test_a_target_that_is_none_sends_the_message_to_the_dead_letters(place: Place, target: object) -> None:
    def to_nobody(_: IncomingMessage) -> EventFor[int]:
        return EventFor(target=target, event=approval, payload=1)  # type: ignore[arg-type] # that is the test

    async with orders() as (orchestrator, _), place.consumer(orchestrator, to_nobody, max_attempts=2):
        await place.send(b"a:1")
        await place.dead_letters(1)
        await place.emptied()


async def test_a_message_that_is_for_no_saga_is_acknowledged(place: Place) -> None:
    async with orders() as (orchestrator, _), place.consumer(orchestrator, lambda _: None):
        observed = Observed(orchestrator)
        await place.send(b"a:1")
        assert (await observed.until(IncomingTaken)).delivery is None
        await place.emptied()


async def test_messages_for_one_saga_are_sent_in_order(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    original = EventSender[int].send

    async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
        await asyncio.sleep(0.02 if payload % 3 == 0 else 0)
        sent.append(payload)
        return Delivery.ACCEPTED

    monkeypatch.setattr(EventSender, "send", send)
    async with orders() as (orchestrator, _), place.consumer(orchestrator):
        await place.send(*(b"a:%d" % n for n in range(20)))
        await until(lambda: len(sent) == 20)
    assert sent == list(range(20))
    assert original is not send


async def test_while_the_store_does_not_answer_messages_wait_and_none_is_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 3
    original = EventSender[int].send

    async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnavailableError("the database is away")
        return await original(self, payload, **options)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(EventSender, "send", send)
    async with orders("a") as (orchestrator, runs), place.consumer(orchestrator, max_attempts=1):
        observed = Observed(orchestrator)
        await place.send(b"a:1")
        assert await runs["a"].result(timeout=SOON) == 1
        assert len(observed.all(IncomingWaits)) == 3
        await place.emptied()


def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client write bytes into a property that are no UTF-8, as clients of other languages do."""

    def short_string(value: str) -> bytes:
        written = value.encode("utf-8", "surrogateescape")
        return bytes([len(written)]) + written

    monkeypatch.setattr(pamqp.encode, "short_string", short_string)
    monkeypatch.setitem(pamqp.encode.METHODS, "shortstr", short_string)


async def test_a_message_that_the_client_library_cannot_read_is_told_and_a_queue_with_a_limit_gives_it_up(
    rabbitmq: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quick(first: float, longest: float) -> Backoff:
        return Backoff(min(first, 0.01), min(longest, 0.05))

    monkeypatch.setattr(consumer, "Backoff", quick)
    place = RabbitPlace(rabbitmq)
    await place.open()
    name, dead = f"{place.name}.limited", f"{place.name}.given-up"
    limited: FieldTable = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 9,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
    }
    queue = await place.channel.declare_queue(name, durable=True, arguments=limited)
    graveyard = await place.channel.declare_queue(dead, durable=True)
    with monkeypatch.context() as patched:
        unreadable(patched)
        await place.channel.default_exchange.publish(aio_pika.Message(b"?", message_id="a\udcff"), name)
    for number in range(20):
        await place.channel.default_exchange.publish(aio_pika.Message(b"a:%d" % number, message_id=f"m-{number}"), name)
    async with orders("a") as (orchestrator, runs):
        observed = Observed(orchestrator)
        async with place.consumer(orchestrator, queue=name):
            told = await observed.until(ConsumerLosesBroker)
            assert (told.source, told.times) == (name, 5)
            assert told.reason.endswith("is gone: InvalidFrameError")
            (found,) = [each for each in (await orchestrator.health()).attention if each.kind == "consumer"]
            assert "cannot read" in found.text
            assert await runs["a"].result(timeout=SOON) == 0, "none of those behind it was given up with it"
            async with asyncio.timeout(SOON):
                while (await place.channel.declare_queue(dead, passive=True)).declaration_result.message_count != 1:
                    await asyncio.sleep(0.05)
            await observed.until(IncomingTaken, times=20)
        assert not [each for each in (await orchestrator.health()).attention if each.kind == "consumer"]
    await queue.delete(if_unused=False, if_empty=False)
    await graveyard.delete(if_unused=False, if_empty=False)
    await place.close()


@pytest.mark.parametrize("full", ["inbox", "key"])
async def test_while_its_saga_has_too_many_unread_events_a_message_waits_and_is_no_dead_letter(
    full: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = 3
    original = EventSender[int].send

    async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise too_many_unread(runs["a"].id) if full == "inbox" else too_many_kept(("order", "a"))
        return await original(self, payload, **options)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(EventSender, "send", send)
    async with orders("a") as (orchestrator, runs), place.consumer(orchestrator, max_attempts=1):
        observed = Observed(orchestrator)
        await place.send(b"a:1")
        assert await runs["a"].result(timeout=SOON) == 1
        assert len(observed.all(IncomingWaits)) == 3
        assert not observed.all(IncomingDead)
        await place.emptied()


@pytest.mark.parametrize(
    "place", ["nats", "rabbitmq"], indirect=True
)  # Kafka knows no later record before an earlier one
async def test_messages_of_other_sagas_pass_those_of_a_busy_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    original = EventSender[int].send
    free = asyncio.Event()

    async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
        if payload:
            return await original(self, payload, **options)  # type: ignore[arg-type] # as they came
        await free.wait()
        return Delivery.BUFFERED

    monkeypatch.setattr(EventSender, "send", send)
    async with orders("b") as (orchestrator, runs), place.consumer(orchestrator, concurrency=5):
        await place.send(*[b"a:0"] * 15, b"b:1")
        assert await runs["b"].result(timeout=SOON) == 1
        free.set()
        await place.emptied()


@pytest.mark.parametrize("place", ["nats", "rabbitmq"], indirect=True)
async def test_messages_of_other_sagas_pass_those_that_wait_for_full_keys(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = EventSender[int].send
    full = True

    async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
        if payload:
            return await original(self, payload, **options)  # type: ignore[arg-type] # as they came
        if full:
            raise too_many_kept(("order", "a"))
        return Delivery.BUFFERED

    monkeypatch.setattr(EventSender, "send", send)
    async with orders("b") as (orchestrator, runs), place.consumer(orchestrator, concurrency=2):
        observed = Observed(orchestrator)
        await place.send(*(b"full%d:0" % key for key in range(2 * 2)))
        await observed.until(IncomingWaits, times=2)
        await place.send(b"b:1")
        assert await runs["b"].result(timeout=SOON) == 1
        full = False
        await place.emptied()


async def test_no_more_messages_are_sent_at_once_than_may_be(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    now = most = 0

    async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return Delivery.BUFFERED

    monkeypatch.setattr(EventSender, "send", send)
    async with orders() as (orchestrator, _):
        await place.send(*(b"s%d:1" % saga for saga in range(20)))
        async with place.consumer(orchestrator, concurrency=3):
            await place.emptied()
    assert 1 <= most <= 3


async def test_leaving_gives_back_what_is_not_finished_and_another_takes_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()
    original = EventSender[int].send

    async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
        reached.set()
        await asyncio.sleep(10 * SOON)
        raise AssertionError

    async with orders("a") as (orchestrator, runs):
        monkeypatch.setattr(EventSender, "send", send)
        async with place.consumer(orchestrator, grace=timedelta(seconds=0.1)):
            await place.send(b"a:1")
            await reached.wait()
        monkeypatch.setattr(EventSender, "send", original)
        async with place.consumer(orchestrator):
            assert await runs["a"].result(timeout=SOON) == 1
            await place.emptied()


async def test_leaving_finishes_what_is_in_hand(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = asyncio.Event()

    async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
        reached.set()
        await asyncio.sleep(0.3)
        return Delivery.BUFFERED

    monkeypatch.setattr(EventSender, "send", send)
    async with orders() as (orchestrator, _):
        observed = Observed(orchestrator)
        async with place.consumer(orchestrator):
            await place.send(b"a:1")
            await reached.wait()
        assert [fact.delivery for fact in observed.all(IncomingTaken)] == ["buffered"]
        await place.emptied()


async def test_a_queue_that_does_not_exist_is_told_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KafkaConsumer, "opening", 3.0)
    nowhere = {"nats": "stream", "rabbitmq": "queue", "kafka": "topic"}
    if isinstance(place, KafkaPlace):  # which makes each topic that it is asked for
        place.broker.refuse("nowhere-7", UNKNOWN_TOPIC)
    kind = next(
        each for name, each in nowhere.items() if name in type(place).__name__.lower().replace("rabbit", "rabbitmq")
    )
    async with orders() as (orchestrator, _):
        with pytest.raises(SagaError, match="cannot begin") as caught:
            await place.consumer(orchestrator, read, **{kind: "nowhere-7"}).__aenter__()
    assert "nowhere-7" in (caught.value.hint or "")


@pytest.mark.parametrize("place", ["nats", "kafka"], indirect=True)  # RabbitMQ takes long to start: see below
async def test_messages_are_taken_again_after_the_broker_was_away(place: Place) -> None:
    async with orders("a", "b") as (orchestrator, runs), place.consumer(orchestrator):
        await place.send(b"a:1")
        assert await runs["a"].result(timeout=SOON) == 1
        await place.emptied()
        if isinstance(place, NatsPlace):
            place.server.kill()
            await asyncio.sleep(0.3)
            place.server.start()
            async with asyncio.timeout(SOON):
                while not place.client.is_connected:
                    await asyncio.sleep(0.05)
        if isinstance(place, KafkaPlace):
            place.broker.down()
            await asyncio.sleep(0.5)
            place.broker.up()
        await place.send(b"b:2")
        assert await runs["b"].result(timeout=2 * SOON) == 2
        await place.emptied()


async def test_killed_between_storing_and_acknowledging_the_message_comes_again_and_counts_once(
    place: Place, dsn: str
) -> None:
    arguments = msgspec.json.encode([dsn, type(place).__name__, place.address, place.name, place.dead])
    async with SagaOrchestrator(dsn) as orchestrator:
        run = await orchestrator.register(order_saga).start("a", aggregation_id="a")
        await place.send(b"a:1")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.brokers.dying_consumer", arguments.decode()), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(2 * SOON):
            assert await process.stdout.readline() in (b"accepted\n", b"buffered\n")
        process.kill()
        await process.wait()
        assert await run.result(timeout=SOON) == 1
        observed = Observed(orchestrator)
        async with place.consumer(orchestrator):
            again = await observed.until(IncomingTaken)
            await place.emptied()
    assert again.delivery == "duplicate"


async def test_a_consumer_that_was_deleted_at_the_server_is_made_again(nats_server: NatsServer) -> None:
    place = NatsPlace(nats_server)
    await place.open()
    async with orders("a") as (orchestrator, runs), place.consumer(orchestrator):
        await place.context.delete_consumer(place.name, "saga")
        await place.send(b"a:1")
        assert await runs["a"].result(timeout=SOON) == 1
    await place.close()


@pytest.mark.parametrize("status", ["100", "404", "408", "409", "503", "x"])
async def test_a_stored_message_with_a_status_is_a_message_as_any_other(nats_server: NatsServer, status: str) -> None:
    place = NatsPlace(nats_server)
    await place.open()
    async with orders("a", "b") as (orchestrator, runs):
        for _ in range(60):  # more than are in hand at once
            await place.send(b"no number", headers={"Status": status, "Description": "Idle Heartbeat"})
        await place.send(b"a:1", headers={"Status": status})
        await place.send(b"b:2")
        async with place.consumer(orchestrator):
            assert await runs["a"].result(timeout=SOON) == 1
            assert await runs["b"].result(timeout=SOON) == 2
            assert all("Status" not in headers for _, headers in await place.dead_letters(60))
            await place.emptied()
    await place.close()


async def test_a_message_that_takes_longer_than_the_server_waits_does_not_come_again_meanwhile(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0

    async def send(self: EventSender[int], payload: int, **options: object) -> Delivery:
        nonlocal sent
        sent += 1
        await asyncio.sleep(3)
        return Delivery.BUFFERED

    monkeypatch.setattr(EventSender, "send", send)
    place = NatsPlace(nats_server)
    await place.open()
    async with orders() as (orchestrator, _), place.consumer(orchestrator):
        observed = Observed(orchestrator)
        await place.send(b"a:1")
        await observed.until(IncomingTaken)
        await place.emptied()
    assert sent == 1
    await place.close()


async def test_after_a_cut_the_queue_is_taken_from_again_and_what_was_in_hand_comes_again(
    rabbitmq: RabbitServer,
) -> None:
    place, wire = RabbitPlace(rabbitmq), Wire(rabbitmq.url())
    await place.open()
    async with (
        await wire.serve(),
        orders("a", "b") as (orchestrator, runs),
        RabbitConsumer(wire.dsn, orchestrator, read, queue=place.name, dead_letters=place.dead),
    ):
        await place.send(b"a:1")
        assert await runs["a"].result(timeout=SOON) == 1
        wire.cut()
        await place.send(b"b:2")
        assert await runs["b"].result(timeout=SOON) == 2
        await place.channel.queue_delete(place.name)  # the broker ends the consumer, not the connection
        await place.channel.declare_queue(place.name, durable=True)
        await place.send(b"no number")
        await place.dead_letters(1)
    await wire.close()
    await place.close()


async def test_a_dead_letter_goes_to_no_queue_that_its_sender_has_named_by_cc(rabbitmq: RabbitServer) -> None:
    place = RabbitPlace(rabbitmq)
    await place.open()
    async with orders() as (orchestrator, _), place.consumer(orchestrator):
        observed = Observed(orchestrator)
        message = aio_pika.Message(b"no number", message_id="m", headers={"CC": [place.name]})
        await place.channel.default_exchange.publish(message, "nowhere")
        ((body, headers),) = await place.dead_letters(1)
        await place.send(b"nor this")
        ((after, _),) = await place.dead_letters(1)
        assert len(observed.all(IncomingDead)) == 2, "the first has not come again"
    assert (body, after, "CC" in headers) == (b"no number", b"nor this", False)
    await place.close()


def test_dead_letters_have_a_place_of_their_own() -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    with pytest.raises(SagaError, match="from which messages are taken"):
        RabbitConsumer("amqp://localhost/", orchestrator, read, queue="orders", dead_letters="orders")
    with pytest.raises(SagaError, match="from which messages are taken"):
        KafkaConsumer("localhost:9092", orchestrator, read, topic="orders", group="saga", dead_letters="orders")


async def test_the_queues_own_dead_letter_exchange_takes_what_cannot_be_read(rabbitmq: RabbitServer) -> None:
    place = RabbitPlace(rabbitmq)
    await place.open()
    arguments: dict[str, FieldValue] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": place.dead}
    await place.channel.queue_delete(place.name)
    await place.channel.declare_queue(place.name, durable=True, arguments=arguments)
    async with orders() as (orchestrator, _), place.consumer(orchestrator, dead_letters=None):
        observed = Observed(orchestrator)
        await place.send(b"no number")
        ((body, headers),) = await place.dead_letters(1)
        assert len(observed.all(IncomingDead)) == 1
    assert body == b"no number"
    assert "rejected" in headers["x-death"]
    await place.close()


async def test_a_dead_letter_has_no_earlier_deaths_by_which_the_broker_would_drop_it(rabbitmq: RabbitServer) -> None:
    place = RabbitPlace(rabbitmq)
    await place.open()
    async with orders() as (orchestrator, _), place.consumer(orchestrator):
        deaths: list[FieldValue] = [{"queue": place.dead, "reason": "expired", "count": 1}]
        message = aio_pika.Message(b"no number", message_id="m", headers={"x-death": deaths, "x": "y"})
        await place.channel.default_exchange.publish(message, place.name)
        ((_, headers),) = await place.dead_letters(1)
    assert set(headers) == {"x", "dead-letter-source", "dead-letter-reason"}
    await place.close()


async def test_dead_letters_of_a_stream_are_no_subject_that_its_consumer_takes(nats_server: NatsServer) -> None:
    place = NatsPlace(nats_server)
    await place.open()
    async with orders() as (orchestrator, _):
        await place.context.update_stream(StreamConfig(name=place.name, subjects=[place.name, f"{place.name}.*"]))
        inside = f"{place.name}.dead"
        with pytest.raises(SagaError, match="from which messages are taken"):
            await place.consumer(orchestrator, dead_letters=inside).__aenter__()
        for subject, dead, refused in [
            (place.name, inside, False),
            (place.name, place.name, True),
            (f"{place.name}.>", inside, True),
        ]:
            config = ConsumerConfig(durable_name=uuid4().hex, ack_policy=AckPolicy.EXPLICIT, filter_subject=subject)
            await place.context.add_consumer(place.name, config)
            consumer = place.consumer(orchestrator, durable=config.durable_name, dead_letters=dead)
            if refused:
                with pytest.raises(SagaError, match="from which messages are taken"):
                    await consumer.__aenter__()
            else:
                async with consumer:
                    pass  # it takes other subjects of the stream
    await place.close()


async def test_dead_letters_are_no_topic_that_a_client_of_the_callers_making_takes_too(kafka: KafkaBroker) -> None:
    place = KafkaPlace(kafka)
    await place.open()

    def make() -> AIOKafkaConsumer:
        client = impatient(place.address, place.name)
        client.subscribe([place.name, place.dead])
        return client

    async with orders() as (orchestrator, _):
        with pytest.raises(SagaError, match="from which messages are taken"):
            await place.consumer(orchestrator, make_consumer=make).__aenter__()
    await place.close()


async def test_a_message_without_an_id_is_not_taken_for_an_event_unless_read_gives_one(rabbitmq: RabbitServer) -> None:
    def with_id(message: IncomingMessage) -> EventFor[int]:
        return EventFor(target=("order", "a"), event=approval, payload=1, event_id="of the body")

    place = RabbitPlace(rabbitmq)
    await place.open()
    async with orders("a") as (orchestrator, runs):
        async with place.consumer(orchestrator):
            await _publish_nameless(place, b"a:1")
            ((_, headers),) = await place.dead_letters(1)
            assert "it has no id" in headers["dead-letter-reason"]
        async with place.consumer(orchestrator, with_id):
            await _publish_nameless(place, b"a:1")
            assert await runs["a"].result(timeout=SOON) == 1
    await place.close()


async def _publish_nameless(place: RabbitPlace, body: bytes) -> None:
    channel = await place.channel.get_underlay_channel()
    with pytest.MonkeyPatch().context() as patch:
        patch.setattr("aiormq.channel.UUID", NoId)
        await channel.basic_publish(body, routing_key=place.name, properties=Basic.Properties(headers={}))


@pytest.mark.parametrize(
    "broken", [{"concurrency": 0}, {"max_attempts": 0}, {"grace": 5}, {"dead_letters": ""}, {"on_dropped": 5}]
)
async def test_wrong_arguments_are_refused(place: Place, broken: dict[str, Any]) -> None:
    orchestrator = SagaOrchestrator(MemoryStore())
    orchestrator.register(order_saga)
    with pytest.raises(SagaError) as caught:
        place.consumer(orchestrator, read, **broken)
    assert caught.value.hint
    with pytest.raises(SagaError, match="read must be a function"):
        place.consumer(orchestrator, None)  # type: ignore[arg-type] # that is the test
    with pytest.raises(SagaError, match="an orchestrator is wanted"):
        place.consumer(None, read)  # type: ignore[arg-type] # that is the test
