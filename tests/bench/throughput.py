"""Durable transitions a second, beside what pgbench gets out of the same server."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

from saga_fn.embedded import EmbeddedPostgres
from tests.bench.sagas import measure, orchestrator, sequence

STEPS = 3
TRANSITIONS = STEPS + 1
"""Durable transitions of such a saga: its start, and each step."""


async def pgbench(dsn: str, binaries: Path, seconds: int) -> float:
    """Transactions a second of `pgbench -N -M prepared` with 32 clients."""
    tool = str(binaries / "pgbench")
    await asyncio.to_thread(subprocess.run, [tool, "-i", "-q", dsn], check=True, capture_output=True)
    command = [tool, "-N", "-M", "prepared", "-c", "32", "-j", "2", "-T", str(seconds), "-n", dsn]
    shown = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    found = re.search(r"tps = ([0-9.]+)", shown.stdout)
    assert found is not None, shown.stdout
    return float(found[1])


async def run(server: EmbeddedPostgres, *, sagas: int, seconds: int) -> None:
    """One line for each number in flight, between two runs of pgbench."""
    before = await pgbench(server.dsn, server.bin_dir, seconds)
    lines: list[tuple[int, float, float, float, float]] = []
    for in_flight in (1, 100, 1000):
        async with orchestrator(server.dsn, in_flight=in_flight) as running:
            handle = running.register("bench", sequence(STEPS))
            await measure(handle, in_flight=in_flight, sagas=in_flight)
            wanted = max(sagas if in_flight > 1 else sagas // 10, 2 * in_flight)
            seen = await measure(handle, in_flight=in_flight, sagas=wanted)
        cpu = seen.cpu / wanted / TRANSITIONS * 1e6
        lines.append((in_flight, seen.per_second, cpu, seen.percentile(50), seen.percentile(99)))
    after = await pgbench(server.dsn, server.bin_dir, seconds)
    peer = (before + after) / 2
    print(
        f"\nSagas of {STEPS} steps; pgbench -N -M prepared -c 32 before and after: {before:,.0f} and {after:,.0f} tps"
    )
    print("in flight   sagas/s  transitions/s  us of CPU each    p50 ms    p99 ms  of pgbench")
    for in_flight, per_second, cpu, p50, p99 in lines:
        transitions = per_second * TRANSITIONS
        print(
            f"{in_flight:>9,} {per_second:>9,.0f} {transitions:>14,.0f} {cpu:>15.0f} {p50:>9.1f} {p99:>9.1f}"
            f" {transitions / peer:>10.2f}x"
        )
