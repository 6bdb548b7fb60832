"""Outgoing messages to RabbitMQ, and events from it. It needs `saga-fn[rabbitmq]`.

::

    from saga_fn.rabbitmq import RabbitPublisher

    SagaOrchestrator(dsn, publishers={"orders.*": RabbitPublisher("amqp://localhost/", exchange="orders")})
"""

try:
    import aio_pika as _client
except ImportError as _error:
    raise ImportError(f"RabbitMQ needs {_error.name}: pip install 'saga-fn[rabbitmq]'", name=_error.name) from _error

from saga_fn.brokers import EventFor, IncomingMessage
from saga_fn.rabbitmq.consumer import RabbitConsumer
from saga_fn.rabbitmq.publisher import RabbitPublisher

__all__ = ["EventFor", "IncomingMessage", "RabbitConsumer", "RabbitPublisher"]

del _client
