"""The display of the demo: live in a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from saga_fn.demo.audit import Ending, Finding, Rule
from saga_fn.demo.services.books import Entry, Notice
from saga_fn.demo.timeline import BECAME, Moment

COLOURS: Mapping[Ending, str] = {
    "completed": "green",
    "compensated": "yellow",
    "failed": "red",
    "unfinished": "magenta",
}

TENTHS = 10
"""How many lines of progress are printed where there is no terminal."""

FINDINGS_SHOWN = 10
"""How many findings of one rule are named."""


class Display:
    """Everything the demo prints goes through here."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def say(self, line: str) -> None:
        """One line."""
        self._console.print(escape(line), soft_wrap=True)

    @contextmanager
    def progress(self, total: int) -> Generator[Tally]:
        """Show how many of `total` sagas have ended, until the context ends."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(complete_style="green"),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as bars:
            yield Tally(total, bars)

    def outcomes(self, endings: Iterable[Ending], refusals: Mapping[str, int]) -> None:
        """The table of outcomes, and why orders were turned down."""
        table = Table(title="Outcomes", title_justify="left")
        table.add_column("end")
        table.add_column("sagas", justify="right")
        counts = Counter(endings)
        for ending, colour in COLOURS.items():
            table.add_row(f"[{colour}]{ending}", str(counts[ending]))
        for reason, count in sorted(refusals.items()):
            table.add_row(f"  {escape(reason)}", str(count), style="dim")
        self._console.print(table)

    def decisions(self, entries: Iterable[Entry], notices: Iterable[Notice]) -> None:
        """The answer of the risk office, and what became of it."""
        said = Counter(entry.kind for entry in entries)
        table = Table(title="Decisions of the risk office", title_justify="left")
        table.add_column("decision")
        table.add_column("orders", justify="right")
        table.add_row("[green]approved", str(said["approved"]))
        table.add_row("[yellow]rejected", str(said["rejected"]))
        table.add_row("[magenta]none", str(said["asked"] - said["approved"] - said["rejected"]))
        for delivery, count in Counter(notice.delivery for notice in notices).most_common():
            table.add_row(f"  {BECAME[delivery]}", str(count), style="dim")
        self._console.print(table)

    def timeline(self, title: str, moments: Sequence[Moment]) -> None:
        """The story of one saga, in seconds since its first moment."""
        table = Table(title=escape(title), title_justify="left")
        table.add_column("seconds", justify="right")
        table.add_column("who")
        table.add_column("what", overflow="fold")
        for moment in moments:
            seconds = (moment.at - moments[0].at).total_seconds()
            table.add_row(f"{seconds:.2f}", escape(moment.who), escape(moment.what))
        self._console.print(table)

    def verdict(self, findings: Sequence[Finding]) -> None:
        """The audit, rule by rule."""
        table = Table(title="Audit of the services' books", title_justify="left")
        table.add_column("rule")
        table.add_column("broken by", justify="right")
        for rule in Rule:
            broken = [finding for finding in findings if finding.rule is rule]
            table.add_row(rule.value, f"[red]{len(broken)}" if broken else "[green]none")
            for finding in broken[:FINDINGS_SHOWN]:
                table.add_row(f"  [red]{escape(finding.order_id)}: {escape(finding.detail)}", "")
        self._console.print(table)


class Tally:
    """Counts the sagas that have ended."""

    def __init__(self, total: int, bars: Progress) -> None:
        self._total = total
        self._bars = bars
        self._task = bars.add_task("", total=total)
        self._counts: Counter[Ending] = Counter()

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self._counts.total()

    def count(self, ending: Ending) -> None:
        """One more has ended."""
        self._counts[ending] += 1
        summary = ", ".join(f"{count} {ending}" for ending, count in sorted(self._counts.items()))
        self._bars.update(self._task, advance=1, description=summary)
        if self._bars.disable and self.ended * TENTHS // self._total > (self.ended - 1) * TENTHS // self._total:
            self.say(f"{self.ended} of {self._total} sagas have ended: {summary}")

    def say(self, line: str) -> None:
        """A line in between."""
        self._bars.console.print(escape(line))
