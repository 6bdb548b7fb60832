"""The memory of a process with many sagas in flight, at most: a process of its own, since a peak is for life."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from pathlib import Path

from saga_fn import SagaOrchestrator
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.kinds import Data, chain
from tests.bench.report import Report, median
from tests.bench.sagas import STEPS, measure, orchestrator, sequence

ROOT = Path(__file__).parents[2]
_HELD = 1000
"""Sagas whose objects are counted."""


async def run(server: EmbeddedPostgres, report: Report, *, in_flight: int, rounds: int) -> None:
    """Above what it took with one saga in flight."""
    command = [sys.executable, "-m", "tests.bench.memory", server.dsn, str(in_flight)]
    grown: list[float] = []
    objects: list[float] = []
    for _ in range(rounds):
        done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True, cwd=ROOT)
        peak, alive = done.stdout.split()
        grown.append(float(peak))
        objects.append(float(alive))
    title = f"Memory above the idle process, median of {rounds}"
    columns = ["in flight", "MB", "objects a saga that the garbage collector looks at, in a step"]
    report.table(title, columns, [[f"{in_flight:,}", median(grown), median(objects)]])


async def _grow(dsn: str, in_flight: int) -> None:
    async with orchestrator(dsn, in_flight=in_flight) as running:
        handle = running.register("bench", sequence(STEPS))
        await measure(handle, in_flight=1, sagas=10)
        idle = _peak()
        await measure(handle, in_flight=in_flight, sagas=2 * in_flight)
        grown = _peak() - idle
        print(grown, await _objects(running))


async def _objects(running: SagaOrchestrator) -> float:
    """The objects of a saga whose step waits and whose caller awaits the end, as the collector counts them."""
    begun, goes_on = [0], asyncio.Event()

    async def held(given: Data) -> Data:
        begun[0] += 1
        await goes_on.wait()
        return given

    handle = running.register("held", chain(1, does=held))

    async def caller() -> None:
        await (await handle.start(Data())).outcome(300)

    gc.collect()
    before = len(gc.get_objects())
    callers = [asyncio.create_task(caller()) for _ in range(_HELD)]
    while begun[0] < _HELD:
        await asyncio.sleep(0.01)
    gc.collect()  # it looks at no tuple twice that refers to nothing it looks at
    alive = len(gc.get_objects()) - before
    goes_on.set()
    await asyncio.gather(*callers)
    return round(alive / _HELD, 1)


def _peak() -> float:
    """In MB. Not `ru_maxrss`: that is inherited from the process that started this one."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    asyncio.run(_grow(sys.argv[1], int(sys.argv[2])))
