"""Outgoing messages to Kafka, and events from it. It needs `saga-fn[kafka]`.

::

    from saga_fn.kafka import KafkaPublisher

    SagaOrchestrator(dsn, publishers={"orders.*": KafkaPublisher("localhost:9092")})
"""

from saga_fn.extras import missing

try:
    import aiokafka as _client
except ImportError as _error:
    raise missing("Kafka needs", "kafka", _error) from _error

from saga_fn.brokers import EventFor, IncomingMessage
from saga_fn.kafka.consumer import KafkaConsumer
from saga_fn.kafka.publisher import KafkaPublisher

__all__ = ["EventFor", "IncomingMessage", "KafkaConsumer", "KafkaPublisher"]

del missing, _client
