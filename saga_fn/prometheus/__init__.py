"""Metrics by the client library of Prometheus, a dashboard for Grafana and alert rules. It needs `saga-fn[prometheus]`.

::

    from saga_fn.prometheus import metrics

    SagaOrchestrator(dsn, instruments=[metrics()])

`python -m saga_fn.prometheus dashboard` prints the dashboard, `python -m saga_fn.prometheus alerts` the alert rules.
"""

from saga_fn.prometheus.collector import metrics
from saga_fn.prometheus.shipped import alert_rules, dashboard

__all__ = ["alert_rules", "dashboard", "metrics"]
