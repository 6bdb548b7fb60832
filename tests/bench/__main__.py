"""The first benchmark: three-step sagas under full durability, beside pgbench on the same server in the same run.

    make bench              # or: python -m tests.bench [--sagas N]

Absolute figures are this machine's; the ratio to pgbench is what can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import time
from pathlib import Path

import msgspec

from saga_fn import SagaBuilder, SagaDefinition, SagaHandle, SagaOrchestrator, step
from saga_fn.embedded import EmbeddedPostgres

PAYLOAD = "x" * 200
COMMITS = 4
"""Durable transitions of a saga of three steps: its start, and each step."""


class Data(msgspec.Struct, frozen=True):
    """Input and output of every step: 200 bytes."""

    text: str = PAYLOAD


def three_steps() -> SagaDefinition[Data, Data]:
    """Three steps that do nothing but return."""

    async def work(inp: Data) -> Data:
        return inp

    builder = SagaBuilder(Data)
    ref = builder.initial
    for name in ("one", "two", "three"):
        ref = builder.add_step(step(work, step_id=name), depends_on=ref)
    return builder.build(output=ref)


async def measure(handle: SagaHandle[Data, Data], in_flight: int, sagas: int) -> tuple[float, list[float]]:
    """Sagas a second, and each one's time from start to end in seconds, with so many in flight."""
    waiting = iter(range(sagas))
    took: list[float] = []

    async def one_after_another() -> None:
        for _ in waiting:
            begun = time.perf_counter()
            await (await handle.start(Data())).result(120)
            took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
    return sagas / (time.perf_counter() - begun), took


def pgbench(dsn: str, binaries: Path, seconds: int) -> float:
    """Transactions a second of `pgbench -N -M prepared` with 32 clients."""
    tool = str(binaries / "pgbench")
    subprocess.run([tool, "-i", "-q", dsn], check=True, capture_output=True)
    command = [tool, "-N", "-M", "prepared", "-c", "32", "-j", "2", "-T", str(seconds), "-n", dsn]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"tps = ([0-9.]+)", shown)
    assert found is not None, shown
    return float(found[1])


async def run(dsn: str, sagas: int, peer: float) -> None:
    """Print one line for each number in flight."""
    print(f"{'in flight':>9} {'sagas/s':>9} {'transitions/s':>14} {'p50 ms':>8} {'p99 ms':>8} {'of pgbench':>11}")
    for in_flight in (1, 100, 1000):
        async with SagaOrchestrator(dsn, migrate=True, concurrency=2 * in_flight) as orchestrator:
            handle = orchestrator.register("bench", three_steps())
            await measure(handle, in_flight, in_flight)
            speed, took = await measure(handle, in_flight, max(sagas if in_flight > 1 else sagas // 10, in_flight))
        cuts = statistics.quantiles(took, n=100) if len(took) > 1 else took * 99
        print(
            f"{in_flight:>9} {speed:>9.0f} {speed * COMMITS:>14.0f} {cuts[49] * 1e3:>8.1f} {cuts[98] * 1e3:>8.1f} "
            f"{speed * COMMITS / peer:>10.2f}x"
        )


def main() -> None:
    """Start a server that waits for the disk at every commit, and measure both on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sagas", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=5, help="how long pgbench runs")
    options = parser.parse_args()
    with EmbeddedPostgres() as server:
        peer = pgbench(server.dsn, server.bin_dir, options.seconds)
        load = os.getloadavg()[0]
        print(f"{os.cpu_count()} cores, load {load:.1f}; pgbench -N -M prepared, 32 clients: {peer:.0f} tps")
        asyncio.run(run(server.dsn, options.sagas, peer))


if __name__ == "__main__":
    main()
