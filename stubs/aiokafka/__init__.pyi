# What we use of aiokafka, which ships no types.

from asyncio import Future
from collections.abc import Iterable, Mapping, Sequence

from typing_extensions import override

class RecordMetadata:
    topic: str
    partition: int
    offset: int

class TopicPartition:
    topic: str
    partition: int
    def __init__(self, topic: str, partition: int) -> None: ...
    @override
    def __hash__(self) -> int: ...

class ConsumerRecord:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

class AIOKafkaProducer:
    def __init__(
        self,
        *,
        bootstrap_servers: str | Sequence[str] = ...,
        acks: int | str = ...,
        enable_idempotence: bool = ...,
        request_timeout_ms: int = ...,
        retry_backoff_ms: int = ...,
        max_request_size: int = ...,
        security_protocol: str = ...,
        sasl_mechanism: str = ...,
        sasl_plain_username: str | None = ...,
        sasl_plain_password: str | None = ...,
    ) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def send(
        self,
        topic: str,
        value: bytes | None = ...,
        key: bytes | None = ...,
        *,
        headers: Sequence[tuple[str, bytes]] | None = ...,
    ) -> Future[RecordMetadata]: ...

class AIOKafkaConsumer:
    def __init__(
        self,
        *topics: str,
        bootstrap_servers: str | Sequence[str] = ...,
        group_id: str | None = ...,
        enable_auto_commit: bool = ...,
        auto_offset_reset: str = ...,
        request_timeout_ms: int = ...,
        session_timeout_ms: int = ...,
        heartbeat_interval_ms: int = ...,
    ) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = ..., max_records: int | None = ...
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]: ...
    async def commit(self, offsets: Mapping[TopicPartition, int] | None = ...) -> None: ...
    async def committed(self, partition: TopicPartition) -> int | None: ...
    async def topics(self) -> set[str]: ...
    def subscribe(self, topics: Iterable[str]) -> None: ...
    def subscription(self) -> frozenset[str]: ...
    def assignment(self) -> frozenset[TopicPartition]: ...
