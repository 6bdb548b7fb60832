"""Durable transitions a second, in every shape, beside what pgbench gets out of the same server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import msgspec

from saga_fn.embedded import EmbeddedPostgres
from tests.bench.machine import pgbench
from tests.bench.report import Report, Value, median
from tests.bench.sagas import STEPS, Measured, Shape

ROOT = Path(__file__).parents[2]
QUICK = (Shape(1), Shape(100), Shape(1000))
SHAPES = (
    Shape(1),
    Shape(16),
    Shape(100),
    Shape(1000),
    Shape(4000),
    Shape(100, steps=1),
    Shape(100, steps=9),
    Shape(100, fails=True),
    Shape(100, bytes=10_000),
    Shape(100, processes=2),
    Shape(1000, processes=2),
    Shape(100, uvloop=True),
    Shape(1000, uvloop=True),
    Shape(100, tuned=True),
    Shape(1000, tuned=True),
    Shape(1000, processes=2, tuned=True),
)


async def run(server: EmbeddedPostgres, report: Report, *, shapes: Sequence[Shape], rounds: int, seconds: int) -> None:
    """The rounds go through all shapes in turn, so that whatever the machine does meanwhile meets all of them."""
    seen: dict[Shape, list[Measured]] = {shape: [] for shape in shapes}
    peer, simple = [await pgbench(server, seconds)], [await pgbench(server, seconds, mode="simple")]
    failed: dict[Shape, str] = {}
    for round_ in range(rounds):
        for shape in shapes:
            if shape not in failed:
                try:
                    seen[shape].append(await once(server.dsn, shape, seconds=seconds, schema=f"bench_{round_}"))
                except RuntimeError as error:
                    failed[shape] = str(error)
        peer.append(await pgbench(server, seconds))
        simple.append(await pgbench(server, seconds, mode="simple"))
    tps, tps_simple = median(peer), median(simple)
    columns = ["sagas", "in flight", "sagas/s", "transitions/s", "us of CPU each", "p50 ms", "p99 ms"]
    columns += ["of pgbench -M prepared", "of -M simple"]
    rows: list[list[Value]] = []
    for shape, measured in seen.items():
        if shape in failed:
            rows.append([_name(shape), shape.in_flight, failed[shape], None, None, None, None, None, None])
            continue
        speed = median([one.per_second for one in measured])
        cpu = median([one.cpu for one in measured]) / shape.transitions * 1e6
        rows.append(
            [
                _name(shape),
                shape.in_flight,
                speed,
                speed * shape.transitions,
                cpu,
                median([one.p50 for one in measured]),
                median([one.p99 for one in measured]),
                f"{speed * shape.transitions / tps:.2f}x",
                f"{speed * shape.transitions / tps_simple:.2f}x",
            ]
        )
    low, high = min(peer), max(peer)
    report.table(
        f"Throughput, median of {rounds}; pgbench -N -c 32 in the same run: -M prepared {tps:,.0f} tps"
        f" ({low:,.0f} to {high:,.0f}), -M simple {tps_simple:,.0f}",
        columns,
        rows,
    )


def _name(shape: Shape) -> str:
    said = [f"{shape.steps} step{'s' if shape.steps > 1 else ''}"]
    if shape.fails:
        said.append("the last fails")
    if shape.bytes >= 1000:
        said.append(f"{shape.bytes / 1000:g} kB")
    if shape.processes > 1:
        said.append(f"{shape.processes} processes")
    if shape.uvloop:
        said.append("uvloop")
    if shape.tuned:
        said.append("tuned")
    return ", ".join(said)


async def once(dsn: str, shape: Shape, *, seconds: int, schema: str = "bench") -> Measured:
    """One measurement of that shape, of about so many seconds, in a schema of its own."""
    observer = await asyncpg.connect(dsn)
    await observer.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    guess = {1: 500, 16: 2000}.get(shape.in_flight, 3500) * STEPS / shape.steps / (2 if shape.bytes > 1000 else 1)
    sagas = max(int(guess * seconds), 2 * shape.in_flight) // shape.processes
    arguments = ["-m", "tests.bench.load", dsn, schema, msgspec.json.encode(shape).decode(), str(sagas)]
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        for _ in range(shape.processes)
    ]
    for process in processes:
        assert process.stdout is not None
        if await process.stdout.readline() != b"ready\n":
            _, complaint = await process.communicate()
            raise RuntimeError(complaint.decode().strip().rpartition("\n")[2])
    told = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    measured = [msgspec.json.decode(output, type=Measured) for output, _ in told]
    await observer.execute(f"DROP SCHEMA {schema} CASCADE")
    await observer.execute("CHECKPOINT")
    await observer.close()
    return Measured(
        per_second=sum(one.per_second for one in measured),
        cpu=sum(one.cpu for one in measured) / len(measured),
        p50=max(one.p50 for one in measured),
        p99=max(one.p99 for one in measured),
    )
