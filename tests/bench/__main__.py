"""The benchmark: full durability, each figure beside a yardstick taken in the same run on the same server.

    make bench                          # or: python -m tests.bench
    make bench ARGS="--only latency"    # one part
    make bench ARGS="--all"             # with the slow parts: a million sleepers, a transaction left open, memory

Absolute figures are this machine's; ratios are what can be compared. On a machine that is busy with other things the
benchmark says so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time

from saga_fn.embedded import EmbeddedPostgres
from tests.bench import bulk, latency, pressure, storage, throughput

_QUICK = ("throughput", "latency", "storage", "bulk")
_SLOW = ("sleepers", "open-transaction", "memory")


def busy() -> float:
    """How many cores somebody else was using in the last half second."""
    before, begun = _worked(), time.perf_counter()
    time.sleep(0.5)
    return (_worked() - before) / os.sysconf("SC_CLK_TCK") / (time.perf_counter() - begun)


def _worked() -> int:
    with open("/proc/stat") as stat:  # noqa: PTH123 - not a file in any ordinary sense
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return user + nice + system + irq + softirq + steal


async def run(parts: set[str], options: argparse.Namespace) -> None:
    """Each part on a server of its own, which waits for the disk at every commit."""
    for part in (*_QUICK, *_SLOW):
        if part not in parts:
            continue
        others = busy()
        if others > 0.2:
            print(f"\nWARNING: other programs use {others:.1f} of {os.cpu_count()} cores; what follows is too low")
        with EmbeddedPostgres() as server:
            match part:
                case "throughput":
                    await throughput.run(server, sagas=options.sagas, seconds=options.seconds)
                case "latency":
                    await latency.run(server)
                case "storage":
                    await storage.run(server)
                case "bulk":
                    await bulk.run(server, sagas=options.bulk)
                case "sleepers":
                    await pressure.sleepers(server, count=options.sleepers)
                case "open-transaction":
                    await pressure.open_transaction(server, seconds=options.open_transaction)
                case _:
                    await pressure.memory(server, in_flight=options.in_flight)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=(*_QUICK, *_SLOW), help="run this part alone")
    parser.add_argument("--all", action="store_true", help="run the slow parts, too")
    parser.add_argument("--sagas", type=int, default=10_000, help="for throughput")
    parser.add_argument("--seconds", type=int, default=5, help="how long pgbench runs, twice")
    parser.add_argument("--bulk", type=int, default=50_000, help="for start_many")
    parser.add_argument("--sleepers", type=int, default=1_000_000)
    parser.add_argument("--open-transaction", type=int, default=300, help="seconds")
    parser.add_argument("--in-flight", type=int, default=10_000, help="for memory")
    options = parser.parse_args()
    parts = {options.only} if options.only else {*_QUICK, *(_SLOW if options.all else ())}
    print(f"{os.cpu_count()} cores")
    asyncio.run(run(parts, options))


if __name__ == "__main__":
    main()
