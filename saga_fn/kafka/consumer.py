"""Events from Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import ClassVar, Final, final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from typing_extensions import override

from saga_fn.brokers.consumer import PATIENCE, Consumer, Received, about_dead, named, named_apart, of_texts
from saga_fn.brokers.incoming import IncomingMessage, Read
from saga_fn.brokers.intake import OnDropped
from saga_fn.errors import SagaError, shown
from saga_fn.orchestrator import SagaOrchestrator
from saga_fn.tasks import cut_short

_ASK: Final = 1000
"""Milliseconds that one request for records waits."""


@final
class KafkaConsumer(Consumer):
    """Takes records from a topic of Kafka and sends each as an event to its saga.

    The offset of a record is committed once the fate of all before it in its partition is known: stored, a repeat, or too late.
    Records for one saga are sent in the order of their partition, others at the same time. It is an async context manager.

    Args:
        servers: The bootstrap servers, as in "localhost:9092", several separated by commas.
        orchestrator: The orchestrator that sends the events; enter it before.
        read: Says which event a record stands for: `EventFor`, or None for one that is for no saga. It is a plain function. If it
            raises, the record goes to the dead letters.
        topic: The name of the topic, which must exist.
        group: The name of the group, by which all processes of a service share the partitions.
        dead_letters: The topic to which a copy of what cannot be read is published, with `dead-letter-reason`.
        make_consumer: Makes the client, for passwords and certificates; with the topic and group, `enable_auto_commit=False` and
            `auto_offset_reset="earliest"`. Default: None, one by `servers`.
        make_producer: Makes the client that publishes to the dead letters. Default: None, one by `servers`.
        on_dropped: An async function that is told of each record that came too late, with `Delivery.ENDED` or `Delivery.EXPIRED`,
            before its offset is committed; again if it raises. Default: None, the log tells it.
        concurrency: How many records are in hand at once, 1 to 10,000. Default: 50.
        max_attempts: How often a record is tried that has no saga, or that its saga does not take, 1 or more. Then it goes
            to the dead letters. One whose saga has too many unread events waits instead. Default: 5, which takes
            some 2 seconds.
        grace: How long leaving waits for what is in hand, as a timedelta. Default: 10 seconds.

    Raises:
        SagaError: An argument is not what it has to be.
    """

    opening: ClassVar[float] = 60.0
    """Seconds that connecting may take: a group waits until it knows that a member which died is gone."""

    def __init__(
        self,
        servers: str,
        orchestrator: SagaOrchestrator,
        read: Read,
        *,
        topic: str,
        group: str,
        dead_letters: str,
        make_consumer: Callable[[], AIOKafkaConsumer] | None = None,
        make_producer: Callable[[], AIOKafkaProducer] | None = None,
        on_dropped: OnDropped | None = None,
        concurrency: int = 50,
        max_attempts: int = 5,
        grace: timedelta = timedelta(seconds=10),
    ) -> None:
        super().__init__(
            orchestrator,
            read,
            source=named("topic", topic),
            on_dropped=on_dropped,
            concurrency=concurrency,
            max_attempts=max_attempts,
            grace=grace,
        )
        self._servers = named("servers", servers).split(",")
        self._group = named("group", group)
        self._dead_letters = named_apart("dead_letters", dead_letters, self._source)
        self._make_consumer = make_consumer or self._consumer_by_address
        self._make_producer = make_producer or self._producer_by_address
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None

    def _consumer_by_address(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            self._source,
            bootstrap_servers=self._servers,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    def _producer_by_address(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(bootstrap_servers=self._servers, acks="all", enable_idempotence=True)

    @override
    async def _open(self) -> None:
        self._producer = self._make_producer()
        await self._producer.start()
        self._consumer = self._make_consumer()
        await self._consumer.start()
        lacking = sorted({self._source, self._dead_letters} - await self._consumer.topics())
        if lacking:
            raise SagaError(f"there is no topic {' and no topic '.join(map(shown, lacking))}")
        for topic in self._consumer.subscription():  # a client of the caller's making may take more than one
            _ = named_apart("dead_letters", self._dead_letters, topic)

    @override
    def _mend(self) -> str:
        return f"is the broker there, and has it the topics {shown(self._source)} and {shown(self._dead_letters)}?"

    @override
    async def _take(self) -> None:
        assert self._consumer is not None
        while not self._stopping.is_set():
            found = await self._consumer.getmany(timeout_ms=_ASK, max_records=self._concurrency)
            settled = set[tuple[str, int, int]]()
            tasks = [self._begin(self._received(record, settled)) for records in found.values() for record in records]
            if not tasks:
                continue
            try:
                await asyncio.wait(tasks)
            finally:  # at the end, too: of each partition what is settled before the first that is not
                await cut_short(tasks, None, first=0.0)
                if offsets := _up_to_the_first_unsettled(found, settled):
                    async with asyncio.timeout(PATIENCE):
                        await self._consumer.commit(offsets)

    def _received(self, record: ConsumerRecord, settled: set[tuple[str, int, int]]) -> Received:
        headers = of_texts(dict(record.headers))
        key = None
        with contextlib.suppress(UnicodeDecodeError):
            key = None if record.key is None else record.key.decode()
        place = record.topic, record.partition, record.offset
        message = IncomingMessage(
            id=headers.get("message-id") or f"{record.topic}:{record.partition}:{record.offset}",
            topic=record.topic,
            key=key,
            headers=headers,
            body=record.value or b"",
        )

        async def settle() -> None:
            settled.add(place)

        async def bury(reason: str) -> None:
            assert self._producer is not None
            dead = {name: value.encode() for name, value in about_dead(record.topic, reason).items()}
            copied = [(name, value) for name, value in record.headers if value is not None and name not in dead]
            headers = [*copied, *dead.items()]
            confirmed = await self._producer.send(self._dead_letters, record.value, record.key, headers=headers)
            _ = await confirmed
            settled.add(place)

        async def leave() -> None:
            """Its offset is not committed, so it comes again."""

        return Received(message, settle, bury, leave)

    @override
    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        producer, self._producer = self._producer, None
        try:
            if consumer is not None:
                await consumer.stop()
        finally:
            if producer is not None:
                await producer.stop()


def _up_to_the_first_unsettled(
    found: Mapping[TopicPartition, Sequence[ConsumerRecord]], settled: Collection[tuple[str, int, int]]
) -> dict[TopicPartition, int]:
    """For each partition the offset of the first record whose fate is not known, if that of any before it is."""
    offsets: dict[TopicPartition, int] = {}
    for partition, records in found.items():
        for record in records:
            if (record.topic, record.partition, record.offset) not in settled:
                break
            offsets[partition] = record.offset + 1
    return offsets
