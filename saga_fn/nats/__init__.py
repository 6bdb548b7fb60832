"""Outgoing messages to NATS JetStream, and events from it. It needs `saga-fn[nats]`.

::

    from saga_fn.nats import NatsPublisher

    SagaOrchestrator(dsn, publishers={"orders.*": NatsPublisher("nats://localhost:4222")})
"""

from saga_fn.extras import missing

try:
    import nats as _client
except ImportError as _error:
    raise missing("NATS needs", "nats", _error) from _error

from saga_fn.brokers import EventFor, IncomingMessage
from saga_fn.nats.consumer import NatsConsumer
from saga_fn.nats.publisher import NatsPublisher

__all__ = ["EventFor", "IncomingMessage", "NatsConsumer", "NatsPublisher"]

del missing, _client
