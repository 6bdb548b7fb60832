"""What a run of the benchmark found: printed as tables, and kept for `--json`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import attrs

Value = str | int | float | None


@attrs.define
class Report:
    """Tables, in the order they were found."""

    tables: list[dict[str, object]] = attrs.field(factory=list)
    shown: list[tuple[str, list[list[str]]]] = attrs.field(factory=list)
    """The same as texts: each title, and the rows below their columns."""

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Print a table, and keep it."""
        shown = [[_shown(value) for value in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)]
        print(f"\n{title}")
        for line in (columns, *shown):
            first, *rest = line
            padded = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
            print("  ".join((first.ljust(widths[0]), *padded)), flush=True)
        self.shown.append((title, [list(columns), *shown]))
        self.tables.append({"title": title, "rows": [dict(zip(columns, row, strict=True)) for row in rows]})

    def write_markdown(self, path: Path) -> None:
        """All of it as tables of Markdown, for the documentation."""
        parts: list[str] = []
        for table, rows in self.shown:
            head, *lines = [f"| {' | '.join(row)} |" for row in rows]
            parts += [f"{table}\n", head, f"|{' --- |' * len(rows[0])}", *lines, ""]
        path.write_text("\n".join(parts), encoding="utf-8")

    def write(self, path: Path) -> None:
        """All of it as JSON."""
        path.write_text(json.dumps(self.tables, indent=2) + "\n", encoding="utf-8")


def _shown(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else value


def median(values: Sequence[float]) -> float:
    """The one in the middle."""
    return statistics.median(values)
