"""The dashboard and the alert rules that come with the library, as text."""

from __future__ import annotations

from importlib.resources import files


def dashboard() -> str:
    """Give the dashboard for Grafana.

    Returns:
        The JSON, to be imported; Grafana asks for the data source then.
    """
    return _read("dashboard.json")


def alert_rules() -> str:
    """Give the alert rules for Prometheus.

    Returns:
        The YAML, a file for `rule_files`.
    """
    return _read("alerts.yml")


def _read(name: str) -> str:
    return files("saga_fn.prometheus").joinpath(name).read_text("utf-8")
