"""Outgoing messages as signed webhooks. It needs `saga-fn[webhook]`.

::

    from saga_fn.webhook import WebhookPublisher

    SagaOrchestrator(dsn, publishers={"orders.*": WebhookPublisher("https://partner.example/hooks", secret="whsec_...")})
"""

from saga_fn.extras import missing

try:
    import httpx as _client
except ImportError as _error:
    raise missing("webhooks need", "webhook", _error) from _error

from saga_fn.webhook.publisher import WebhookPublisher

__all__ = ["WebhookPublisher"]

del missing, _client
