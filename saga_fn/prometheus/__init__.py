"""Metrics by the client library of Prometheus, a dashboard for Grafana and alert rules. It needs `saga-fn[prometheus]`.

::

    from saga_fn.prometheus import collector

    SagaOrchestrator(dsn, instruments=[collector()])

`python -m saga_fn.prometheus dashboard` prints the dashboard, `python -m saga_fn.prometheus alerts` the alert rules.
"""

from saga_fn.extras import missing

try:
    import prometheus_client as _client
except ImportError as _error:
    raise missing("the collector needs", "prometheus", _error) from _error

from saga_fn.prometheus.families import collector
from saga_fn.prometheus.shipped import alert_rules, dashboard

__all__ = ["alert_rules", "collector", "dashboard"]

del missing, _client
