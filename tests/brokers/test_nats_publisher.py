"""Messages to a real NATS server: stored once, in order, or refused with a reason; and it is killed, stands still, says no."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from saga_fn import SagaError
from saga_fn.nats import NatsPublisher
from saga_fn.outgoing import Published
from tests.brokers.messages import HOSTILE_HEADERS, all_published, failed, outgoing, refused
from tests.support.brokers import LARGEST, PASSWORD, NatsServer
from tests.support.until import SOON

SHORT = timedelta(seconds=1)


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url())
    yield client
    await client.close()


@pytest.fixture
async def stream(client: Client) -> AsyncIterator[JetStreamContext]:
    """A stream of its own, which stores `orders.>`."""
    context = client.jetstream()
    await context.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"], max_msg_size=8000))
    yield context
    await context.delete_stream("ORDERS")


async def stored(client: Client) -> list[tuple[str, bytes, dict[str, str]]]:
    """All messages of the stream, in order."""
    context = client.jetstream()
    state = (await context.stream_info("ORDERS")).state
    found = [await context.get_msg("ORDERS", seq) for seq in range(max(1, state.first_seq), state.last_seq + 1)]
    return [(each.subject or "", each.data or b"", each.headers or {}) for each in found]


async def test_a_message_is_stored_with_its_id_key_and_headers(
    nats_server: NatsServer, client: Client, stream: JetStreamContext
) -> None:
    message = outgoing("orders.paid", key="käse 7", headers={"trace": "abc"})
    async with NatsPublisher(nats_server.url()) as publisher:
        assert await publisher.publish([message]) == [Published()]
    ((subject, body, headers),) = await stored(client)
    assert (subject, body) == ("orders.paid", message.body)
    assert headers["Nats-Msg-Id"] == str(message.id)
    assert headers["Message-Key"] == "k%C3%A4se%207"
    assert (headers["trace"], headers["Saga-Id"], headers["Saga-Name"]) == ("abc", str(message.saga_id), "order")


async def test_a_repeat_counts_as_published_and_is_stored_once(
    nats_server: NatsServer, client: Client, stream: JetStreamContext
) -> None:
    message = outgoing("orders.paid")
    async with NatsPublisher(nats_server.url()) as publisher:
        assert await publisher.publish([message]) == await publisher.publish([message]) == [Published()]
    assert len(await stored(client)) == 1


async def test_each_message_of_a_batch_has_a_fate_of_its_own(
    nats_server: NatsServer, client: Client, stream: JetStreamContext
) -> None:
    batch = [
        outgoing("orders.paid"),
        outgoing("nowhere.paid"),
        outgoing("orders.paid", b"x" * 9000),
        outgoing("orders.paid", b"x" * (LARGEST - 20)),  # with its headers it is larger than the server takes
        outgoing("orders.*"),
        outgoing("orders paid"),
        outgoing("orders.paid\r\nPUB orders.paid 0"),
        outgoing("orders.paid", headers={"nats-expected-stream": "OTHER"}),
        outgoing("orders.shipped"),
    ]
    async with NatsPublisher(nats_server.url()) as publisher:
        outcomes = await publisher.publish(batch)
        assert (outcomes[0], outcomes[-1]) == (Published(), Published())
        assert "no stream stores its subject" in failed(outcomes[1])
        assert "than its stream takes" in refused(outcomes[2])
        assert "than the server takes" in refused(outcomes[3])
        assert all("no subject" in refused(each) for each in outcomes[4:7])
        assert "begins with Nats-" in refused(outcomes[7])
        assert await publisher.publish([outgoing("orders.paid")]) == [Published()], "the connection was not lost"
    assert sorted(subject for subject, _, _ in await stored(client)) == ["orders.paid", "orders.paid", "orders.shipped"]


@pytest.mark.parametrize("command", ["STREAM.DELETE.ORDERS", "STREAM.PURGE.ORDERS", "STREAM.INFO.ORDERS"])
async def test_a_topic_is_no_command_to_the_server(
    nats_server: NatsServer, client: Client, stream: JetStreamContext, command: str
) -> None:
    async with NatsPublisher(nats_server.url()) as publisher:
        assert await publisher.publish([outgoing("orders.paid"), outgoing("orders.$JS")]) == [Published(), Published()]
        outcomes = await publisher.publish([outgoing(f"$JS.API.{command}"), outgoing("$SYS.x"), outgoing("$")])
    assert all("without $" in refused(each) for each in outcomes)
    assert len(await stored(client)) == 2


@pytest.mark.parametrize("headers", HOSTILE_HEADERS)
async def test_a_header_smuggles_nothing_in(
    nats_server: NatsServer, client: Client, stream: JetStreamContext, headers: dict[str, str]
) -> None:
    async with NatsPublisher(nats_server.url()) as publisher:
        (outcome,) = await publisher.publish([outgoing("orders.paid", headers=headers)])
    assert "header" in refused(outcome)
    assert await stored(client) == []


async def test_a_user_without_the_right_is_told_and_costs_the_others_nothing(
    nats_server: NatsServer, client: Client, stream: JetStreamContext
) -> None:
    await stream.add_stream(StreamConfig(name="FORBIDDEN", subjects=["forbidden.>"]))
    async with NatsPublisher(nats_server.url("limited"), timeout=SHORT) as publisher:
        outcomes = await publisher.publish([outgoing("orders.paid"), outgoing("forbidden.paid")])
    await stream.delete_stream("FORBIDDEN")
    assert outcomes[0] == Published()
    assert "allowed" in failed(outcomes[1])


async def test_a_wrong_password_is_told_without_it(nats_server: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    publisher = NatsPublisher(nats_server.url().replace(PASSWORD, "wr0ng-pass"))
    with pytest.raises(nats.errors.Error) as caught:
        await publisher.publish([outgoing("orders.paid")])
    assert "wr0ng-pass" not in repr(caught.value) + repr(publisher) + caplog.text


async def test_killed_under_load_and_started_again_it_has_each_message_in_order(
    nats_server: NatsServer, client: Client, stream: JetStreamContext
) -> None:
    batches = [[outgoing(f"orders.{saga}", b"%d" % n, key=str(saga)) for saga in range(10)] for n in range(30)]
    killed = asyncio.Event()

    async def publish_all(publisher: NatsPublisher) -> None:
        for number, batch in enumerate(batches):
            left = batch
            while left:  # as the relay does: a saga's next message is not sent before this one is confirmed
                try:
                    outcomes = await publisher.publish(left)
                except (OSError, nats.errors.Error):
                    await asyncio.sleep(0.05)
                    continue
                left = [each for each, outcome in zip(left, outcomes, strict=True) if outcome != Published()]
            if number == 5:
                killed.set()

    async with NatsPublisher(nats_server.url(), timeout=SHORT) as publisher, asyncio.timeout(2 * SOON):
        work = asyncio.create_task(publish_all(publisher))
        await killed.wait()
        nats_server.kill()
        await asyncio.sleep(0.3)
        nats_server.start()
        await work
    while not client.is_connected:
        await asyncio.sleep(0.05)
    by_saga: dict[str, list[int]] = {}
    ids = set[str]()
    for subject, body, headers in await stored(client):
        if headers["Nats-Msg-Id"] not in ids:
            by_saga.setdefault(subject, []).append(int(body))
        ids.add(headers["Nats-Msg-Id"])
    assert by_saga == {f"orders.{saga}": list(range(30)) for saga in range(10)}


async def test_a_server_that_stands_still_fails_the_batch_in_time_and_a_lost_answer_costs_no_repeat(
    nats_server: NatsServer, client: Client, stream: JetStreamContext
) -> None:
    message = outgoing("orders.paid")
    async with NatsPublisher(nats_server.url(), timeout=SHORT) as publisher:
        assert await publisher.publish([outgoing("orders.paid")]) == [Published()]
        nats_server.pause()
        try:
            (outcome,) = await publisher.publish([message])
        finally:
            nats_server.go_on()
        assert "in time" in failed(outcome)
        async with asyncio.timeout(SOON):
            while not all_published(await publisher.publish([message])):
                pass
    assert len(await stored(client)) == 2, "the one that timed out was stored, and its repeat was dropped"


async def test_a_connection_of_the_callers_own_making(nats_server: NatsServer, stream: JetStreamContext) -> None:
    async with NatsPublisher(lambda: nats.connect(nats_server.url(), name=str(uuid4()))) as publisher:
        assert all_published(await publisher.publish([outgoing("orders.paid")]))


async def test_it_is_entered_again_in_a_later_life(nats_server: NatsServer, stream: JetStreamContext) -> None:
    publisher = NatsPublisher(nats_server.url())
    for _ in range(2):
        async with publisher:
            assert all_published(await publisher.publish([outgoing("orders.paid")]))


@pytest.mark.parametrize("address", [None, "", 4222, b"nats://localhost"])
def test_what_is_no_address_is_refused(address: object) -> None:
    with pytest.raises(SagaError, match="the address of a broker"):
        NatsPublisher(address)  # type: ignore[arg-type] # that is the test
