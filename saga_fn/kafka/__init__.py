"""Outgoing messages to Kafka, and events from it. It needs `saga-fn[kafka]`.

::

    from saga_fn.kafka import KafkaPublisher

    SagaOrchestrator(dsn, publishers={"orders.*": KafkaPublisher("localhost:9092")})
"""

try:
    import aiokafka as _client
except ImportError as _error:
    raise ImportError(f"Kafka needs {_error.name}: pip install 'saga-fn[kafka]'", name=_error.name) from _error

from saga_fn.brokers import EventFor, IncomingMessage
from saga_fn.kafka.consumer import KafkaConsumer
from saga_fn.kafka.publisher import KafkaPublisher

__all__ = ["EventFor", "IncomingMessage", "KafkaConsumer", "KafkaPublisher"]

del _client
