"""Traces and metrics by OpenTelemetry. It needs `saga-fn[otel]`, which brings the API alone: the service brings the SDK.

::

    from saga_fn.otel import metrics, traces

    SagaOrchestrator(dsn, instruments=[traces(), metrics()])
"""

from saga_fn.extras import missing

try:
    import opentelemetry.trace as _api
except ImportError as _error:
    raise missing("traces need", "otel", _error) from _error

from saga_fn.otel.meters import metrics
from saga_fn.otel.tracing import traces

__all__ = ["metrics", "traces"]

del missing, _api
