"""The brokers, started once a test run and xdist worker, when the first test asks for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.brokers import Broker, NatsServer, RabbitServer
from tests.support.kafka import KafkaBroker

B = TypeVar("B", bound=Broker)


def _started(kind: Callable[[Path], B], home: Path) -> Iterator[B]:
    broker = kind(home)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """NATS with JetStream."""
    yield from _started(NatsServer, tmp_path_factory.mktemp("nats"))


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """RabbitMQ."""
    yield from _started(RabbitServer, tmp_path_factory.mktemp("rabbitmq"))


@pytest.fixture
def kafka() -> Iterator[KafkaBroker]:
    """Kafka, new for each test: it starts at once."""
    broker = KafkaBroker()
    yield broker
    broker.close()
