"""Outgoing messages as signed webhooks. It needs `saga-fn[webhook]`.

::

    from saga_fn.webhook import WebhookPublisher

    SagaOrchestrator(dsn, publishers={"orders.*": WebhookPublisher("https://partner.example/hooks", secret="whsec_...")})
"""

try:
    import httpx as _client
except ImportError as _error:
    raise ImportError(f"webhooks need {_error.name}: pip install 'saga-fn[webhook]'", name=_error.name) from _error

from saga_fn.webhook.publisher import WebhookPublisher

__all__ = ["WebhookPublisher"]

del _client
