"""Which path has become slower: two commits, measured in turn, by the same programs on the same server.

    make bench-gate BEFORE=commit [ARGS="--sagas 400 --rounds 7 --only 'events by id'"]

A path is slower if its CPU for a saga has grown by more than 5%, and by more than the rounds of either commit differ among
themselves (their middle halves). The programs that lead the sagas are those of this checkout, for both.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from saga_fn.embedded import EmbeddedPostgres
from tests.bench.path_load import Spent
from tests.bench.paths import ROOT, TRANSITIONS, loads, measured
from tests.bench.report import Report, Value

_MORE: Final = 0.05


class Verdict(msgspec.Struct, frozen=True):
    """How a path has changed: its CPU for a saga, now by before, and how much of that may be noise."""

    ratio: float
    noise: float

    @property
    def is_slower(self) -> bool:
        """Whether it has become slower by more than noise."""
        return self.ratio > 1 + max(_MORE, self.noise)


def verdict(before: Sequence[float], now: Sequence[float]) -> Verdict:
    """Compare the same figure of several rounds of two commits.

    >>> verdict([10.0, 10.1, 9.9, 10.0], [11.9, 12.0, 12.1, 12.0]).is_slower
    True
    >>> verdict([10.0, 14.0, 9.0, 12.0], [11.0, 12.5, 12.0, 13.0]).is_slower
    False
    """
    noise = max(_spread(before), _spread(now))
    return Verdict(statistics.median(now) / statistics.median(before), noise)


def _spread(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


async def compare(
    dsn: str, trees: tuple[Path, Path], names: Sequence[str], *, sagas: int, rounds: int
) -> list[tuple[str, Verdict]]:
    """The verdict on each path; the commits take turns, and begin in turn."""
    found: list[tuple[str, Verdict]] = []
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as folder:
        shutil.copytree(
            Path(__file__).parent, Path(folder, "tests", "bench"), ignore=shutil.ignore_patterns("__pycache__")
        )
        for number, name in enumerate(names):
            load = next(iter(loads(name, sagas).values()))
            seen: tuple[list[Spent], list[Spent]] = ([], [])
            for round_ in range(rounds):
                for which in (0, 1) if round_ % 2 else (1, 0):
                    schema = f"gate_{number}_{which}"
                    pairs = await measured(
                        dsn, name, load, rounds=1, tree=trees[which], schema=schema, beside=Path(folder)
                    )
                    seen[which].extend(this for this, _ in pairs)
            found.append((name, verdict([one.cpu for one in seen[0]], [one.cpu for one in seen[1]])))
    return found


def main() -> int:
    """Read the command line; 1 if a path has become slower."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="the commit to compare with")
    parser.add_argument("--only", choices=tuple(TRANSITIONS), action="append", help="this path alone; can be repeated")
    parser.add_argument("--sagas", type=int, default=400, help="straight sagas a round; of longer paths fewer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="bench-before-") as folder:
        tree = Path(folder, "tree")
        subprocess.run(["git", "worktree", "add", "--detach", str(tree), options.before], cwd=ROOT, check=True)
        try:
            with EmbeddedPostgres() as server:
                names = tuple(options.only or TRANSITIONS)
                work = compare(server.dsn, (tree, ROOT), names, sagas=options.sagas, rounds=options.rounds)
                found = asyncio.run(work)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    rows: list[list[Value]] = [
        [name, f"{one.ratio:.3f}x", f"{one.noise:.3f}", "SLOWER" if one.is_slower else ""] for name, one in found
    ]
    report.table(f"CPU for a saga, now by {options.before}", ["path", "now / before", "noise", "verdict"], rows)
    if options.json is not None:
        report.write(options.json)
    return int(any(one.is_slower for _, one in found))


if __name__ == "__main__":
    sys.exit(main())
