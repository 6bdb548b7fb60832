"""A Kafka broker for the tests: the one that the C library of `confluent-kafka` has for its own tests.

It speaks Kafka's protocol over TCP, with consumer groups and idempotent producers, and refuses what it is told to refuse. What it
stores is in memory, so it is not killed: its port is closed and opened again, with what it has stored.
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path
from typing import final

from tests.support.tools import leave_out

UNKNOWN_TOPIC = 3
TOO_LARGE = 10
TIMED_OUT = 7
NOT_ALLOWED = 29
PRODUCE = 0
"""The kind of request that publishes."""


def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        leave_out("confluent-kafka is not installed (pip install -e '.[dev]')")
    (found,) = Path(spec.origin).parents[1].glob("confluent_kafka.libs/librdkafka*")
    library = ctypes.CDLL(str(found))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_conf_set.argtypes = [ctypes.c_void_p, *[ctypes.c_char_p] * 3, ctypes.c_size_t]
    return library


@final
class KafkaBroker:
    """One broker, in threads of this process."""

    def __init__(self) -> None:
        self._library = _library()
        problem = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        self._library.rd_kafka_conf_set(conf, b"log_level", b"0", problem, 512)
        self._client = ctypes.c_void_p(self._library.rd_kafka_new(0, conf, problem, 512))
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._client, 1))
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.servers: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create(self, topic: str, partitions: int = 2) -> None:
        """Create a topic."""
        assert self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1) == 0

    def refuse(self, topic: str, error: int) -> None:
        """Answer each request for that topic with an error; 0: with none."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), error)

    def fail_next(self, request: int, *errors: int) -> None:
        """Answer the next requests of that kind with these errors."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(errors)), codes
        )

    def down(self) -> None:
        """Close its port and all connections."""
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, 1) == 0

    def up(self) -> None:
        """Open the port again."""
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, 1) == 0

    def delay(self, milliseconds: int) -> None:
        """Answer that much later."""
        assert self._library.rd_kafka_mock_broker_set_rtt(self._cluster, 1, milliseconds) == 0

    def close(self) -> None:
        """End it."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)
