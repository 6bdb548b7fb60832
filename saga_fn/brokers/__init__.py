"""Shared by the publishers and consumers of `saga_fn.nats`, `saga_fn.rabbitmq`, `saga_fn.kafka` and `saga_fn.webhook`."""

from saga_fn.brokers.incoming import EventFor, IncomingMessage

__all__ = ["EventFor", "IncomingMessage"]
