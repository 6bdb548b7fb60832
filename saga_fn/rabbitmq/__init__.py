"""Outgoing messages to RabbitMQ, and events from it. It needs `saga-fn[rabbitmq]`.

::

    from saga_fn.rabbitmq import RabbitPublisher

    SagaOrchestrator(dsn, publishers={"orders.*": RabbitPublisher("amqp://localhost/", exchange="orders")})
"""

from saga_fn.extras import missing

try:
    import aio_pika as _client
except ImportError as _error:
    raise missing("RabbitMQ needs", "rabbitmq", _error) from _error

from saga_fn.brokers import EventFor, IncomingMessage
from saga_fn.rabbitmq.consumer import RabbitConsumer
from saga_fn.rabbitmq.publisher import RabbitPublisher

__all__ = ["EventFor", "IncomingMessage", "RabbitConsumer", "RabbitPublisher"]

del missing, _client
