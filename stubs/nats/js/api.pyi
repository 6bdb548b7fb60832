import enum
from collections.abc import Sequence

class Header(str, enum.Enum):
    MSG_ID = ...
    STATUS = ...

class AckPolicy(str, enum.Enum):
    EXPLICIT = ...

class PubAck:
    stream: str
    seq: int
    duplicate: bool | None

class SequencePair:
    consumer: int
    stream: int

class StreamState:
    messages: int
    first_seq: int
    last_seq: int

class StreamInfo:
    config: StreamConfig
    state: StreamState

class StreamConfig:
    subjects: list[str] | None
    def __init__(
        self,
        *,
        name: str | None = ...,
        subjects: Sequence[str] | None = ...,
        max_msg_size: int | None = ...,
        duplicate_window: float = ...,
    ) -> None: ...

class RawStreamMsg:
    subject: str | None
    seq: int | None
    data: bytes | None
    headers: dict[str, str] | None

class ConsumerConfig:
    durable_name: str | None
    ack_wait: float | None
    filter_subject: str | None
    filter_subjects: list[str] | None
    def __init__(
        self,
        *,
        durable_name: str | None = ...,
        ack_policy: AckPolicy | None = ...,
        ack_wait: float | None = ...,
        filter_subject: str | None = ...,
        max_ack_pending: int | None = ...,
    ) -> None: ...

class ConsumerInfo:
    config: ConsumerConfig
    num_ack_pending: int | None
    num_pending: int | None
