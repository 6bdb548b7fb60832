"""The page of the docs: its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from saga_fn.otel import names
from saga_fn.telemetry import METRICS

PAGE: Final = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text("utf-8")
ROWS: Final = [line for line in PAGE.splitlines() if line.startswith("| `")]
CONSTANTS: Final = {name: value for name, value in vars(names).items() if name.isupper()}


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    told = [row for row in ROWS if row.startswith("| `saga_fn_")]
    labels = {metric: ", ".join(f"`{label}`" for label in metric.labels) or "none" for metric in METRICS}
    assert told == [
        f"| `{metric.prometheus_name}` | {metric.kind} | {labels[metric]} | {metric.text} |" for metric in METRICS
    ]


def test_the_tables_of_spans_and_attributes_have_every_name() -> None:
    named = {name for row in ROWS for name in re.findall(r"`([a-z_]+\.[a-z_.]+)(?: [A-Z]+)?`", row.split("|")[1])}
    assert named == set(CONSTANTS.values())
