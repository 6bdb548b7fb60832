"""The benchmark: full durability, each figure beside a yardstick taken in the same run on the same server.

    make bench                          # or: python -m tests.bench
    make bench-quick                    # the core of it, in under a minute
    make bench ARGS="--only latency"    # one part
    make bench ARGS="--only paths --path 'fan-out of 10' --path 'fan-out of 200'"
    make bench ARGS="--json bench.json"
    PIP_FIND_LINKS=/path/to/wheels make bench ARGS="--only peers"    # offers a peer that no index here has

Absolute figures are this machine's; ratios are what can be compared. On a machine that is busy with other things the
benchmark says so.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from saga_fn.embedded import EmbeddedPostgres
from tests.bench import (
    beside,
    bulk,
    caller,
    claims,
    console,
    latency,
    lateness,
    lists,
    memory,
    outgoing,
    paths,
    pressure,
    retention,
    storage,
    throughput,
    transactional,
    wake,
)
from tests.bench.machine import describe, warn_if_busy
from tests.bench.report import Report

PARTS = (
    "throughput",
    "paths",
    "latency",
    "lateness",
    "wake",
    "storage",
    "transactional",
    "bulk",
    "peers",
    "memory",
    "sleepers",
    "open-transaction",
    "locked-row",
    "caller",
    "lists",
    "claims",
    "retention",
    "outgoing",
    "console",
)
QUICK = ("throughput", "latency", "storage", "bulk")


async def run(parts: set[str], options: argparse.Namespace, report: Report) -> None:
    """Each part on a server of its own, which waits for the disk at every commit."""
    with EmbeddedPostgres() as server:
        await describe(server, report)
    for part in PARTS:
        if part not in parts:
            continue
        warn_if_busy()
        with EmbeddedPostgres() as server:
            match part:
                case "throughput":
                    shapes = throughput.QUICK if options.quick else throughput.SHAPES
                    await throughput.run(server, report, shapes=shapes, rounds=options.rounds, seconds=options.seconds)
                case "paths":
                    names = tuple(options.path or paths.TRANSITIONS)
                    await paths.run(server, report, sagas=options.paths, rounds=options.rounds, names=names)
                case "latency":
                    await latency.run(server, report)
                case "lateness":
                    await lateness.run(server, report, rounds=options.rounds)
                case "wake":
                    await wake.run(server, report)
                case "storage":
                    await storage.run(server, report, rounds=options.rounds)
                case "transactional":
                    await transactional.run(server, report, rounds=options.rounds)
                case "bulk":
                    await bulk.run(server, report, sagas=options.bulk, rounds=options.rounds)
                case "peers":
                    await beside.run(server, report, rounds=options.rounds, seconds=options.seconds)
                case "memory":
                    await memory.run(server, report, in_flight=options.in_flight, rounds=options.rounds)
                case "sleepers":
                    await pressure.sleepers(server, report, count=options.sleepers, rounds=options.rounds)
                case "caller":
                    await caller.run(server, report, seconds=options.caller)
                case "lists":
                    await lists.run(server, report, sagas=options.lists, rounds=options.rounds)
                case "claims":
                    await claims.run(server, report, rounds=options.rounds)
                case "retention":
                    await retention.run(server, report, sagas=options.retention, seconds=5 * options.seconds)
                case "outgoing":
                    await outgoing.run(server, report, rounds=options.rounds, seconds=options.seconds)
                case "console":
                    await console.run(server, report, sagas=options.lists, rounds=options.rounds)
                case "open-transaction":
                    seconds = options.open_transaction
                    await pressure.open_transaction(server, report, seconds=seconds, rounds=options.rounds)
                case _:
                    await pressure.locked_row(server, report, seconds=options.locked_row)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; can be repeated")
    parser.add_argument("--quick", action="store_true", help="one short round of the core of it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="and there, as they stand in the documentation")
    parser.add_argument("--rounds", type=int, help="each figure is the median of so many (default 3, quick 1)")
    parser.add_argument("--seconds", type=int, help="how long one measurement takes, about (default 4, quick 2)")
    parser.add_argument("--bulk", type=int, default=50_000, help="sagas for start_many")
    parser.add_argument(
        "--paths", type=int, default=2_000, help="straight sagas beside each path; of longer ones fewer"
    )
    parser.add_argument(
        "--path", choices=tuple(paths.TRANSITIONS), action="append", help="of the paths this one alone; can be repeated"
    )
    parser.add_argument("--sleepers", type=int, default=1_000_000)
    parser.add_argument("--lists", type=int, default=1_000_000, help="sagas to list, and to show in the console")
    parser.add_argument("--retention", type=int, default=300_000, help="sagas to delete")
    parser.add_argument("--open-transaction", type=int, default=300, help="seconds")
    parser.add_argument("--locked-row", type=int, default=60, help="seconds")
    parser.add_argument("--caller", type=int, default=60, help="seconds that a caller's transaction stays open")
    parser.add_argument("--in-flight", type=int, default=10_000, help="for memory")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (2 if options.quick else 4)
    report = Report()
    asyncio.run(run(set(options.only or (QUICK if options.quick else PARTS)), options, report))
    if options.json is not None:
        report.write(options.json)
    if options.markdown is not None:
        report.write_markdown(options.markdown)


if __name__ == "__main__":
    main()
