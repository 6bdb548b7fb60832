"""The benchmark that is not kind to us: every path beside the straight one in the same run, in several sizes of a process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from saga_fn.embedded import EmbeddedPostgres
from tests.bench.kinds import Load
from tests.bench.path_load import Spent
from tests.bench.report import Report, Value, median

ROOT: Final = Path(__file__).parents[2]
TRANSITIONS: Final = {
    "straight with maps": 4,
    "turned back at step 1": 2,
    "turned back at step 2": 4,
    "turned back at step 3": 6,
    "fan-out of 10": 12,
    "fan-out of 100": 102,
    "fan-out of 200": 202,
    "fan-out of 10 with a step beside": 13,
    "fan-out of 100 with a step beside": 103,
    "fan-out of 200 with a step beside": 203,
    "events by id": 3,
    "events by key": 3,
    "timers": 5,
    "claimed elsewhere": 5,
    "takeover": 5,
    "verbs: skip_step": 3,
    "verbs: abort": 1,
}
"""The durable transitions of a saga that are measured, by path. A claim's is one of them."""
STRAIGHT: Final = TRANSITIONS["straight with maps"]
_LISTS: Final = 40
"""Sagas with a list in flight: of all lengths as many, for they are compared."""


def loads(name: str, sagas: int) -> dict[str, Load]:
    """The sizes that a path is measured in: slots for all that are in flight, or 16 for twice as many; and how ends are awaited."""
    some = max(20, sagas // max(1, TRANSITIONS[name] // 4))
    fans_out = name.startswith("fan-out")
    at_once = min(some, _LISTS if fans_out else 1000)
    few = max(20, some // 4)
    # As many transitions of straight sagas as of these: of a few sagas the first would count for too much.
    straight, straight_of_few = (TRANSITIONS[name] * each // STRAIGHT if fans_out else 0 for each in (some, few))
    return {
        "slots = in flight": Load(some, at_once, at_once, straight=straight),
        "slots = in flight, result()": Load(few, min(few, at_once), min(few, at_once), "result", straight_of_few),
        "twice the slots": Load(few, min(few, at_once), 2 * min(few, at_once), straight=straight_of_few),
        "16 slots, 32 in flight": Load(few, 32, 16, straight=straight_of_few),
    }


async def run(
    server: EmbeddedPostgres, report: Report, *, sagas: int, rounds: int, names: Sequence[str] = tuple(TRANSITIONS)
) -> None:
    """A row for each path and size."""
    rows: list[list[Value]] = []
    of_straight: dict[tuple[str, str], float] = {}
    for number, name in enumerate(names):
        for size, load in loads(name, sagas).items():
            schema = f"paths_{number}_{load.slots}"
            found = await measured(server.dsn, name, load, rounds=rounds, schema=schema)
            rows.append([name, size, *_columns(name, found)])
            of_straight[name, size] = _of_straight(name, found)
    columns = ["path", "size", "sagas/s", "us a transition", "of straight", "sagas/s of straight's"]
    report.table(
        f"Paths, median of {rounds}; each beside straight sagas with input maps in the same process",
        [*columns, "statements a saga", "commits", "WAL bytes a transition"],
        rows,
    )
    short, long = "fan-out of 10", "fan-out of 200"
    growth: list[list[Value]] = [
        [size, f"{ratio / of_straight[short, size]:.2f}x"]
        for (name, size), ratio in of_straight.items()
        if name == long and (short, size) in of_straight
    ]
    if growth:
        report.table(
            f"CPU a transition: {long} / {short}, each by the straight sagas beside it", ["size", "ratio"], growth
        )


def _of_straight(name: str, found: Sequence[tuple[Spent, Spent]]) -> float:
    """The CPU of a transition, by that of the straight sagas beside it."""
    of = TRANSITIONS[name]
    return median([(this.cpu / of) / (straight.cpu / STRAIGHT) for this, straight in found])


def _columns(name: str, found: Sequence[tuple[Spent, Spent]]) -> list[Value]:
    of = TRANSITIONS[name]
    return [
        median([this.per_second for this, _ in found]),
        median([this.cpu / of for this, _ in found]),
        f"{_of_straight(name, found):.2f}x",
        f"{median([this.per_second / straight.per_second for this, straight in found]):.2f}x",
        median([this.statements for this, _ in found]),
        median([this.commits for this, _ in found]),
        median([this.wal / of for this, _ in found]),
    ]


async def measured(
    dsn: str, name: str, load: Load, *, rounds: int, tree: Path = ROOT, schema: str = "paths", beside: Path = ROOT
) -> list[tuple[Spent, Spent]]:
    """The time that a process of that tree spends on a path, and on straight sagas beside it. The programs are those of `beside`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.path_load", name, dsn, schema, msgspec.json.encode(load).decode(), str(rounds)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=beside,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )
    output, complaint = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{name}: {complaint.decode().strip()[-2000:]}")
    return msgspec.json.decode(output, type=list[tuple[Spent, Spent]])
