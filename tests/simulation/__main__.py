"""Run many seeds, one after another, in one process: `python -m tests.simulation --seeds 0-99`.

Odd seeds have two builds side by side. In two seeds of four, sagas are deleted when their retention is over.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter

from tests.simulation.minimise import as_a_test, minimised
from tests.simulation.run import Case, run


def main() -> int:
    """Run them; 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0-9", help="one number, or a range as in 0-99")
    parser.add_argument("--sagas", type=int, default=0, help="go on with further seeds until so many sagas have run")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two lines about how far it is")
    parser.add_argument("--keep-going", action="store_true", help="go on after a seed that fails")
    given = parser.parse_args()
    first, _, last = str(given.seeds).partition("-")
    seed, end = int(first), int(last or first)
    began, told_at = time.process_time(), time.monotonic()
    sagas, runs, failed = 0, 0, 0
    ends: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    while seed <= end or sagas < given.sagas:
        _ = gc.collect()  # the tasks of dead processes hold each other: frozen, they would stay for ever
        gc.freeze()  # what a seed leaves behind would be looked at after each seed that follows
        report = run(Case(seed, builds=1 + seed % 2, deletes=seed % 4 < 2))
        sagas, runs = sagas + report.sagas, runs + 1
        ends += report.ends
        counts += report.counts
        if report.wrong:
            failed += 1
            _tell(report.case, report.wrong)
            if not given.keep_going:
                break
        if time.monotonic() > told_at + given.every:
            told_at = time.monotonic()
            print(_line(runs, sagas, counts, failed, time.process_time() - began), flush=True)
        seed += 1
    print(_line(runs, sagas, counts, failed, time.process_time() - began))
    print("ends:", ", ".join(f"{name} {number:,}" for name, number in sorted(ends.items())))
    print("told:", ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items())))
    return 1 if failed else 0


def _line(runs: int, sagas: int, counts: Counter[str], failed: int, seconds: float) -> str:
    speed = sagas / max(seconds, 0.001) * 60
    return (
        f"{runs:,} seeds, {sagas:,} sagas, {counts['events']:,} events, {failed} seeds with violations,"
        f" {speed:,.0f} sagas a minute of one core"
    )


def _tell(case: Case, wrong: tuple[str, ...]) -> None:
    print(f"seed {case.seed} fails:", *wrong, sep="\n  ", flush=True)
    small = minimised(case, lambda smaller: bool(run(smaller).wrong))
    print("\nThe smallest that fails, as a test:\n", flush=True)
    print(as_a_test(small, run(small).wrong), flush=True)


if __name__ == "__main__":
    sys.exit(main())
