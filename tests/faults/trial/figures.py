"""The figures of a trial, and the table that a run of all trials gives."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from tests.faults.trial.catalogue import FAULTS
from tests.faults.trial.cells import CELLS

RECORD: Final = Path(os.environ.get("SAGA_FN_FAULTS_RECORD", "/dev/null"))


class Figures(msgspec.Struct, frozen=True):
    """The figures of one trial."""

    fault: int
    cell: str
    driven: int
    """Sagas that came to an end, or to where a person is asked, as they had to."""
    accepted: int
    lost: int
    doubled: int
    """Results that are recorded twice, or executions under two keys."""
    orphans: int
    """Sagas that did not come to that within a minute after the fault."""
    refused: int
    """The number of results that came too late and were refused."""
    seconds: float

    def record(self) -> None:
        """Add them to the record of the run."""
        with RECORD.open("a", encoding="utf-8") as file:
            file.write(json.dumps(msgspec.to_builtins(self)) + "\n")


class Outcome(msgspec.Struct, frozen=True, tag=True):
    """The outcome of a trial: its figures, and a line for each thing that is not as it must be."""

    figures: Figures
    wrong: list[str]


class Lacking(msgspec.Struct, frozen=True, tag=True):
    """A trial that lacks a program of this machine."""

    reason: str


Answer: TypeAlias = Outcome | Lacking
ANSWERS: Final = msgspec.json.Decoder(Answer)


def read(path: Path) -> list[Figures]:
    """The figures of a run; the last of each trial counts."""
    lines = path.read_text(encoding="utf-8").splitlines()
    last = {(each.fault, each.cell): each for each in (msgspec.json.decode(line, type=Figures) for line in lines)}
    return [last[key] for key in sorted(last)]


def table(figures: Iterable[Figures]) -> str:
    """One line a fault: over all cells, and which cells those were."""
    by_fault: dict[int, list[Figures]] = {}
    for each in figures:
        by_fault.setdefault(each.fault, []).append(each)
    lines = [
        "| # | fault | cells | sagas driven | starts accepted | lost | results doubled | orphans | late and refused |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, of in sorted(by_fault.items()):
        cells = f"{len(of)} of {len(FAULTS[number].cells())}"
        sums = (
            sum(each.driven for each in of),
            sum(each.accepted for each in of),
            sum(each.lost for each in of),
            sum(each.doubled for each in of),
            sum(each.orphans for each in of),
            sum(each.refused for each in of),
        )
        lines.append(f"| {number} | {FAULTS[number].name} | {cells} | {' | '.join(f'{each:,}' for each in sums)} |")
    all_of = [each for of in by_fault.values() for each in of]
    every = sum(len(fault.cells()) for fault in FAULTS.values())
    minutes = sum(each.seconds for each in all_of) / 60
    lines += [
        "",
        f"{len(all_of)} of {every} trials in {len(CELLS)} cells, {minutes:.0f} minutes of trials.",
    ]
    return "\n".join(lines)
