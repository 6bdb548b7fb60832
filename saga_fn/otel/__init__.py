"""Traces and metrics by OpenTelemetry. It needs `saga-fn[otel]`, which brings the API alone: the service brings the SDK.

::

    from saga_fn.otel import metrics, traces

    SagaOrchestrator(dsn, instruments=[traces(), metrics()])
"""

try:
    import opentelemetry.trace as _api
except ImportError as _error:
    raise ImportError(f"traces need {_error.name}: pip install 'saga-fn[otel]'", name=_error.name) from _error

from saga_fn.otel.meters import metrics
from saga_fn.otel.tracing import traces

__all__ = ["metrics", "traces"]

del _api
