"""Messages to a Kafka broker: in a partition and confirmed, or refused with a reason; and it goes, comes back, is late, says no."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError

from saga_fn import SagaError
from saga_fn.kafka import KafkaPublisher
from saga_fn.outgoing import Published
from tests.brokers.messages import HOSTILE_HEADERS, all_published, failed, outgoing, refused
from tests.support.kafka import NOT_ALLOWED, PRODUCE, TOO_LARGE, UNKNOWN_TOPIC, KafkaBroker
from tests.support.until import SOON

SHORT = timedelta(seconds=1)
OUT_OF_ORDER, NOT_LEADER = 45, 6


async def stored(kafka: KafkaBroker, topic: str, messages: int) -> list[ConsumerRecord]:
    """The records of so many messages in a topic, in the order of each partition; a message may be there more than once."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka.servers, auto_offset_reset="earliest")
    await consumer.start()
    found: list[ConsumerRecord] = []
    try:
        async with asyncio.timeout(SOON):
            while len({dict(each.headers)["message-id"] for each in found}) < messages:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(records)
    finally:
        await consumer.stop()
    return found


async def test_a_message_is_in_its_topic_with_its_id_key_and_headers(kafka: KafkaBroker) -> None:
    kafka.create("paid")
    message = outgoing("paid", key="käse 7", headers={"trace": "abc"})
    async with KafkaPublisher(kafka.servers) as publisher:
        assert await publisher.publish([message]) == [Published()]
    (found,) = await stored(kafka, "paid", 1)
    assert (found.value, found.key) == (message.body, "käse 7".encode())
    headers = dict(found.headers)
    assert headers["message-id"] == str(message.id).encode()
    assert (headers["trace"], headers["saga-id"]) == (b"abc", str(message.saga_id).encode())


async def test_each_message_of_a_batch_has_a_fate_of_its_own(kafka: KafkaBroker) -> None:
    kafka.create("paid")
    kafka.create("forbidden")
    kafka.refuse("forbidden", NOT_ALLOWED)
    kafka.create("gone")
    kafka.refuse("gone", UNKNOWN_TOPIC)
    batch = [
        outgoing("paid"),
        outgoing("paid", b"x" * 2_000_000),
        outgoing("a topic"),
        outgoing(".."),
        outgoing("forbidden"),
        outgoing("gone"),
        outgoing("paid", headers={"x": "a\r\nb"}),
        outgoing("paid", key=None),
    ]
    async with KafkaPublisher(kafka.servers, timeout=SHORT) as publisher:
        outcomes = await publisher.publish(batch)
    assert (outcomes[0], outcomes[-1]) == (Published(), Published())
    assert "larger" in refused(outcomes[1])
    assert "no topic of Kafka" in refused(outcomes[2])
    assert "no topic of Kafka" in refused(outcomes[3])
    assert "not allowed" in failed(outcomes[4])
    assert "topic" in failed(outcomes[5])
    assert "header" in refused(outcomes[6])


async def test_one_record_that_makes_its_neighbours_too_large_is_found(kafka: KafkaBroker) -> None:
    kafka.create("paid", partitions=1)
    async with KafkaPublisher(kafka.servers) as publisher:
        assert all_published(await publisher.publish([outgoing("paid")]))
        kafka.fail_next(PRODUCE, TOO_LARGE, TOO_LARGE)  # of all together, and of the first one alone
        outcomes = await publisher.publish([outgoing("paid", b"%d" % n) for n in range(4)])
        assert "larger" in refused(outcomes[0])
        assert all_published(outcomes[1:])
    assert [each.value for each in await stored(kafka, "paid", 4)][1:] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("headers", HOSTILE_HEADERS)
async def test_a_header_smuggles_nothing_in(kafka: KafkaBroker, headers: dict[str, str]) -> None:
    kafka.create("paid")
    async with KafkaPublisher(kafka.servers) as publisher:
        (outcome,) = await publisher.publish([outgoing("paid", headers=headers)])
    assert "header" in refused(outcome)


async def test_down_under_load_and_up_again_it_has_each_message_in_order(kafka: KafkaBroker) -> None:
    kafka.create("paid", partitions=3)
    batches = [[outgoing("paid", b"%d" % n, key=str(saga)) for saga in range(10)] for n in range(20)]
    down = asyncio.Event()

    async def publish_all(publisher: KafkaPublisher) -> None:
        for number, batch in enumerate(batches):
            left = batch
            while left:  # as the relay does: a saga's next message is not sent before this one is confirmed
                outcomes = await publisher.publish(left)
                left = [each for each, outcome in zip(left, outcomes, strict=True) if outcome != Published()]
            if number == 5:
                down.set()

    async with KafkaPublisher(kafka.servers, timeout=SHORT) as publisher, asyncio.timeout(2 * SOON):
        work = asyncio.create_task(publish_all(publisher))
        await down.wait()
        kafka.down()
        await asyncio.sleep(1.5)
        kafka.up()
        await work
    by_saga: dict[bytes | None, list[int]] = {}
    ids = set[bytes | None]()
    for found in await stored(kafka, "paid", 200):
        id = dict(found.headers)["message-id"]
        if id not in ids:
            by_saga.setdefault(found.key, []).append(int(found.value or b""))
        ids.add(id)
    assert by_saga == {str(saga).encode(): list(range(20)) for saga in range(10)}


async def test_a_broker_that_answers_late_fails_the_batch_in_time(kafka: KafkaBroker) -> None:
    kafka.create("paid")
    async with KafkaPublisher(kafka.servers, timeout=SHORT) as publisher:
        assert all_published(await publisher.publish([outgoing("paid")]))
        kafka.delay(5000)
        for outcome in await publisher.publish([outgoing("paid"), outgoing("paid", key="other")]):
            assert "in time" in failed(outcome)
        kafka.delay(0)
        async with asyncio.timeout(SOON):
            while not all_published(await publisher.publish([outgoing("paid")])):
                pass


async def test_after_an_error_that_ends_a_producer_a_new_one_is_made(kafka: KafkaBroker) -> None:
    kafka.create("paid", partitions=1)
    async with KafkaPublisher(kafka.servers, timeout=SHORT) as publisher:
        assert all_published(await publisher.publish([outgoing("paid")]))
        kafka.fail_next(PRODUCE, OUT_OF_ORDER)
        (outcome,) = await publisher.publish([outgoing("paid")])
        assert "OutOfOrderSequence" in failed(outcome)
        assert all_published(await publisher.publish([outgoing("paid")]))


async def test_a_refusal_that_passes_is_repeated_by_the_client(kafka: KafkaBroker) -> None:
    kafka.create("paid", partitions=1)
    async with KafkaPublisher(kafka.servers) as publisher:
        kafka.fail_next(PRODUCE, NOT_LEADER)
        assert all_published(await publisher.publish([outgoing("paid")]))


async def test_a_producer_of_the_callers_own_making(kafka: KafkaBroker) -> None:
    kafka.create("paid")
    made: list[AIOKafkaProducer] = []

    def make() -> AIOKafkaProducer:
        made.append(AIOKafkaProducer(bootstrap_servers=kafka.servers, acks="all"))
        return made[-1]

    publisher = KafkaPublisher(make)
    for life in (1, 2):
        async with publisher:
            assert all_published(await publisher.publish([outgoing("paid")]))
        assert len(made) == life


async def test_a_broker_that_is_not_there_keeps_it_from_being_entered() -> None:
    with pytest.raises(KafkaError):
        await KafkaPublisher("localhost:1").__aenter__()


@pytest.mark.parametrize("address", [None, "", 9092])
def test_what_is_no_address_is_refused(address: object) -> None:
    with pytest.raises(SagaError, match="the address of a broker"):
        KafkaPublisher(address)  # type: ignore[arg-type] # that is the test
