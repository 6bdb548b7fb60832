"""Chaos by hand: `python -m tests.faults.chaos --seconds 600 --seed 7`.

It prints one table, and a line for each thing that is not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys

from tests.faults.chaos.run import run


def main() -> int:
    """Run it; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults happen (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="what the run follows from (default: a random one)")
    given = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    print(f"chaos for {given.seconds:g} s, seed {seed}", flush=True)
    report = asyncio.run(run(seed, given.seconds))
    print(report.text())
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
