"""Messages to a real RabbitMQ: confirmed and in a queue, or refused with a reason; and it is killed, stands still, says no."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from saga_fn import SagaError
from saga_fn.outgoing import Published
from saga_fn.rabbitmq import RabbitPublisher
from tests.brokers.messages import HOSTILE_HEADERS, all_published, failed, outgoing, refused
from tests.support.brokers import LARGEST, PASSWORD, RabbitServer
from tests.support.until import SOON
from tests.support.wire import Wire

SHORT = timedelta(seconds=1)


@pytest.fixture
async def channel(rabbitmq: RabbitServer) -> AsyncIterator[AbstractChannel]:
    """A channel of the test's own, and the queues `paid` and `shipped`, which are empty."""
    async with await aio_pika.connect(rabbitmq.url()) as connection, connection.channel() as channel:
        for name in ("paid", "shipped"):
            await channel.declare_queue(name, durable=True)
        yield channel
    async with await aio_pika.connect(rabbitmq.url()) as connection, connection.channel() as channel:
        for name in ("paid", "shipped"):
            await channel.queue_delete(name)


async def taken(rabbitmq: RabbitServer, name: str) -> list[AbstractIncomingMessage]:
    """All messages of a queue, in order; they stay there."""
    found: list[AbstractIncomingMessage] = []
    async with await aio_pika.connect(rabbitmq.url()) as connection, connection.channel() as channel:
        queue = await channel.get_queue(name)
        while (message := await queue.get(fail=False)) is not None:
            found.append(message)
    return found


async def test_a_message_is_in_its_queue_with_its_id_key_and_headers(
    rabbitmq: RabbitServer, channel: AbstractChannel
) -> None:
    message = outgoing("paid", key="käse 7", headers={"trace": "abc"})
    async with RabbitPublisher(rabbitmq.url()) as publisher:
        assert await publisher.publish([message]) == [Published()]
    (found,) = await taken(rabbitmq, "paid")
    assert (found.body, found.message_id, found.delivery_mode) == (message.body, str(message.id), 2)
    assert (found.content_type, found.timestamp) == ("application/json", message.created_at)
    expected = {"trace": "abc", "message-key": "käse 7", "saga-id": str(message.saga_id), "saga-name": "order"}
    assert found.headers == expected


async def test_each_message_of_a_batch_has_a_fate_of_its_own(rabbitmq: RabbitServer, channel: AbstractChannel) -> None:
    batch = [
        outgoing("paid"),
        outgoing("nowhere"),
        outgoing("shipped", b"x" * (LARGEST + 1)),  # RabbitMQ ends the channel for it
        outgoing("x" * 256),
        outgoing("paid", headers={"CC": "shipped"}),
        *(outgoing("shipped", b"%d" % n) for n in range(20)),
    ]
    async with RabbitPublisher(rabbitmq.url()) as publisher:
        outcomes = await publisher.publish(batch)
        assert outcomes[0] == Published()
        assert "no queue takes it" in failed(outcomes[1])
        assert "larger" in refused(outcomes[2])
        assert "longest routing key" in refused(outcomes[3])
        assert "the header CC" in refused(outcomes[4])
        assert all_published(outcomes[5:])
    assert {each.body for each in await taken(rabbitmq, "shipped")} == {b"%d" % n for n in range(20)}


async def test_an_exchange_that_does_not_exist_is_told_and_may_come_later(
    rabbitmq: RabbitServer, channel: AbstractChannel
) -> None:
    async with RabbitPublisher(rabbitmq.url(), exchange="orders") as publisher:
        for outcome in await publisher.publish([outgoing("paid"), outgoing("paid")]):
            assert "no such exchange" in failed(outcome)
        exchange = await channel.declare_exchange("orders", "topic", auto_delete=True)
        (outcome,) = await publisher.publish([outgoing("paid")])
        assert "no queue takes it" in failed(outcome)
        await (await channel.get_queue("paid")).bind(exchange, "#")
        assert all_published(await publisher.publish([outgoing("paid"), outgoing("pack")]))
    assert len(await taken(rabbitmq, "paid")) == 2


async def test_a_message_that_no_queue_takes_may_be_dropped(rabbitmq: RabbitServer) -> None:
    async with RabbitPublisher(rabbitmq.url(), mandatory=False) as publisher:
        assert all_published(await publisher.publish([outgoing("nowhere")]))


async def test_a_user_without_the_right_is_told(rabbitmq: RabbitServer, channel: AbstractChannel) -> None:
    await channel.declare_exchange("forbidden", "topic", auto_delete=False)
    async with RabbitPublisher(rabbitmq.url("limited"), exchange="forbidden") as publisher:
        outcomes = await publisher.publish([outgoing("paid"), outgoing("shipped")])
    await channel.exchange_delete("forbidden")
    assert all("ACCESS_REFUSED" in failed(outcome) for outcome in outcomes)


async def test_a_wrong_password_is_told_without_it(rabbitmq: RabbitServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="saga_fn")
    publisher = RabbitPublisher(rabbitmq.url().replace(PASSWORD, "wr0ng-pass"))
    (outcome,) = await publisher.publish([outgoing("paid")])
    assert "ACCESS_REFUSED" in failed(outcome)
    assert "wr0ng-pass" not in failed(outcome) + repr(publisher) + caplog.text


@pytest.mark.parametrize("headers", HOSTILE_HEADERS)
async def test_a_header_smuggles_nothing_in(
    rabbitmq: RabbitServer, channel: AbstractChannel, headers: dict[str, str]
) -> None:
    async with RabbitPublisher(rabbitmq.url()) as publisher:
        (outcome,) = await publisher.publish([outgoing("paid", headers=headers)])
    assert "header" in refused(outcome)


async def test_killed_under_load_and_started_again_it_has_each_message_in_order(
    rabbitmq: RabbitServer, channel: AbstractChannel
) -> None:
    batches = [[outgoing("paid", b"%d" % n, key=str(saga)) for saga in range(10)] for n in range(30)]
    killed = asyncio.Event()

    async def publish_all(publisher: RabbitPublisher) -> None:
        for number, batch in enumerate(batches):
            left = batch
            while left:  # as the relay does: a saga's next message is not sent before this one is confirmed
                outcomes = await publisher.publish(left)
                left = [each for each, outcome in zip(left, outcomes, strict=True) if outcome != Published()]
                if left:
                    await asyncio.sleep(0.05)
            if number == 5:
                killed.set()

    async with RabbitPublisher(rabbitmq.url(), timeout=SHORT) as publisher, asyncio.timeout(4 * SOON):
        work = asyncio.create_task(publish_all(publisher))
        await killed.wait()
        rabbitmq.kill()
        await asyncio.to_thread(rabbitmq.start)
        await work
    by_saga: dict[object, list[int]] = {}
    ids = set[str | None]()
    for found in await taken(rabbitmq, "paid"):
        if found.message_id not in ids:
            by_saga.setdefault(found.headers["message-key"], []).append(int(found.body))
        ids.add(found.message_id)
    assert by_saga == {str(saga): list(range(30)) for saga in range(10)}


async def test_a_broker_that_stands_still_fails_the_batch_in_time(
    rabbitmq: RabbitServer, channel: AbstractChannel
) -> None:
    async with RabbitPublisher(rabbitmq.url(), timeout=SHORT) as publisher:
        assert all_published(await publisher.publish([outgoing("paid")]))
        rabbitmq.pause()
        try:
            for outcome in await publisher.publish([outgoing("paid"), outgoing("shipped")]):
                assert "in time" in failed(outcome)
        finally:
            rabbitmq.go_on()
        async with asyncio.timeout(SOON):
            while not all_published(await publisher.publish([outgoing("paid")])):
                pass


@pytest.mark.parametrize("robust", [True, False])
async def test_a_connection_of_the_callers_own_making_hangs_no_longer_than_it_may(
    rabbitmq: RabbitServer, channel: AbstractChannel, robust: bool
) -> None:
    connect = aio_pika.connect_robust if robust else aio_pika.connect
    wire = Wire(rabbitmq.url())
    async with await wire.serve(), RabbitPublisher(lambda: connect(wire.dsn), timeout=SHORT) as publisher:
        assert all_published(await publisher.publish([outgoing("paid")]))
        wire.down = True
        wire.cut()
        async with asyncio.timeout(SOON):
            _ = failed((await publisher.publish([outgoing("paid")]))[0])
            wire.down = False
            while not all_published(await publisher.publish([outgoing("paid")])):
                await asyncio.sleep(0.05)
    await wire.close()


async def test_a_broker_that_is_not_there_keeps_it_from_being_entered(rabbitmq: RabbitServer) -> None:
    with pytest.raises(CONNECTION_EXCEPTIONS):
        await RabbitPublisher("amqp://localhost:1/").__aenter__()


async def test_it_is_entered_again_in_a_later_life(rabbitmq: RabbitServer, channel: AbstractChannel) -> None:
    publisher = RabbitPublisher(rabbitmq.url())
    for _ in range(2):
        async with publisher:
            assert all_published(await publisher.publish([outgoing("paid")]))


@pytest.mark.parametrize("exchange", [None, "x" * 256, 5])
def test_what_is_no_exchange_is_refused(exchange: object) -> None:
    with pytest.raises(SagaError, match="an exchange has a name"):
        RabbitPublisher("amqp://localhost/", exchange=exchange)  # type: ignore[arg-type] # that is the test
