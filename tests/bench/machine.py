"""The machine that the figures are from, and whether other programs were using it."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import subprocess
import time

from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report

_BUSY = 0.2


def others() -> float:
    """How many cores other programs were using in the last half second."""
    before, begun = _worked(), time.perf_counter()
    time.sleep(0.5)
    return (_worked() - before) / os.sysconf("SC_CLK_TCK") / (time.perf_counter() - begun)


def _worked() -> int:
    with open("/proc/stat") as stat:  # noqa: PTH123 - not a file in any ordinary sense
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return user + nice + system + irq + softirq + steal


def warn_if_busy() -> None:
    """Say so when the figures that follow are worth less than they seem."""
    if (used := others()) > _BUSY:
        print(f"\nWARNING: other programs use {used:.1f} of {os.cpu_count()} cores; what follows is too low")


async def pgbench(server: EmbeddedPostgres, seconds: int, *, mode: str = "prepared") -> float:
    """Transactions a second of `pgbench -N -M MODE` with 32 clients. `simple` is what pgbench does by itself."""
    tool = str(server.bin_dir / "pgbench")
    await _run(tool, "-i", "-q", server.dsn)
    shown = await _run(tool, "-N", "-M", mode, "-c", "32", "-j", "2", "-T", str(seconds), "-n", server.dsn)
    found = re.search(r"tps = ([0-9.]+)", shown)
    assert found is not None, shown
    return float(found[1])


async def describe(server: EmbeddedPostgres, report: Report) -> None:
    """Cores, load, versions, and how often the disk says that something is safe."""
    report.table(
        "Machine",
        ["what", "value"],
        [
            ["cores", os.cpu_count()],
            ["load, 1 minute", os.getloadavg()[0]],
            ["cores others use now", others()],
            ["Python", platform.python_version()],
            ["PostgreSQL", (await _run(str(server.bin_dir / "postgres"), "--version")).split()[-1]],
            ["fdatasync a second", await _syncs(server)],
        ],
    )


async def _syncs(server: EmbeddedPostgres) -> float | None:
    """By pg_test_fsync, one 8 kB write each, beside the server's own files."""
    tool = server.bin_dir / "pg_test_fsync"
    if not tool.exists():
        return None
    file = f"/tmp/saga_fn_bench_{os.getpid()}"  # where a server without a state_dir has its data
    shown = await _run(str(tool), "-s", "1", "-f", file)
    found = re.search(r"fdatasync +([0-9.]+) ops/sec", shown)
    return None if found is None else float(found[1])


async def _run(*command: str) -> str:
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    return done.stdout
