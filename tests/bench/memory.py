"""What a process grows by, at most, with many sagas in flight: one of its own, since a peak is for life."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, median
from tests.bench.sagas import STEPS, measure, orchestrator, sequence

ROOT = Path(__file__).parents[2]


async def run(server: EmbeddedPostgres, report: Report, *, in_flight: int, rounds: int) -> None:
    """Above what it took with one saga in flight."""
    command = [sys.executable, "-m", "tests.bench.memory", server.dsn, str(in_flight)]
    grown: list[float] = []
    for _ in range(rounds):
        done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True, cwd=ROOT)
        grown.append(float(done.stdout))
    title = f"Memory above the idle process, median of {rounds}"
    report.table(title, ["in flight", "MB"], [[f"{in_flight:,}", median(grown)]])


async def _grow(dsn: str, in_flight: int) -> None:
    async with orchestrator(dsn, in_flight=in_flight) as running:
        handle = running.register("bench", sequence(STEPS))
        await measure(handle, in_flight=1, sagas=10)
        idle = _peak()
        await measure(handle, in_flight=in_flight, sagas=2 * in_flight)
    print(_peak() - idle)


def _peak() -> float:
    """In MB. Not `ru_maxrss`: that is inherited from whoever started this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    asyncio.run(_grow(sys.argv[1], int(sys.argv[2])))
