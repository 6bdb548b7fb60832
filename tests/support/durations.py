"""The time that each test of a run took: wall clock, and processor, which tells more on a machine that is busy with other work."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import pytest

FILE: Final = Path(__file__).parents[2] / ".durations"
"""The record of the last run, of which git knows nothing: sums of the folders, then each test, the most expensive first."""
PROCESSOR: Final = "processor seconds"
"""The name under which a worker hands them on with a report."""
SERVERS: Final = "PostgreSQL, of all servers that were stopped"
"""The same, of what servers have used: they stop in the teardown of some test that has nothing to do with it."""


@attrs.define
class Duration:
    """Seconds that a test took, with its setup and teardown."""

    processor: float = 0.0
    """Of this process and of all that it has waited for: servers of databases are not among them."""
    wall: float = 0.0


def processor_now() -> float:
    """Seconds of processor that this process has used so far, with the processes that it has waited for."""
    return sum(os.times()[:4])


@attrs.define
class Servers:
    """The processor's seconds of servers that were stopped since this was asked last."""

    processor: float = 0.0

    @contextmanager
    def stopping(self) -> Generator[None]:
        """A server is stopped in here: its seconds become those of this process."""
        before = processor_now()
        try:
            yield
        finally:
            self.processor += processor_now() - before

    def taken(self) -> float:
        """The seconds, which are handed on."""
        taken, self.processor = self.processor, 0.0
        return taken


of_servers: Final = Servers()


def durations(reports: Iterable[pytest.TestReport]) -> dict[str, Duration]:
    """The durations of the tests that these reports are of, by their ids."""
    found: dict[str, Duration] = defaultdict(Duration)
    for report in reports:
        found[report.nodeid].wall += report.duration
        if report.when == "teardown":
            for name, value in report.user_properties:
                if name == PROCESSOR:
                    found[report.nodeid].processor += float(str(value))
                elif name == SERVERS and value:
                    found[SERVERS].processor += float(str(value))
    return found


def recorded() -> dict[str, float]:
    """The seconds of processor that tests took in the last run that was recorded; none, if no run was."""
    if not FILE.exists():
        return {}
    lines = [line.split(maxsplit=2) for line in FILE.read_text(encoding="utf-8").splitlines()[1:]]
    return {each[2]: float(each[0]) for each in lines if len(each) == 3}


def table(found: dict[str, Duration]) -> str:
    """A line for each folder of tests, and for each test."""
    folders: dict[str, Duration] = defaultdict(Duration)
    for test, took in found.items():
        folder = folders["/".join(test.partition("::")[0].split("/")[:2])]
        folder.processor += took.processor
        folder.wall += took.wall
    lines = ["processor s    wall s"]
    for each in (folders, found):
        ordered = sorted(each.items(), key=lambda one: (-one[1].processor, -one[1].wall, one[0]))
        lines += ["", *(f"{took.processor:11.2f} {took.wall:9.2f}  {name}" for name, took in ordered)]
    return "\n".join(lines) + "\n"
