"""How long a saga that one process starts waits until a step of it begins in another."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from saga_fn import SagaBuilder, SagaDefinition, SagaOrchestrator, step
from saga_fn.embedded import EmbeddedPostgres
from tests.bench.report import Report, Value, median
from tests.bench.sagas import Data

ROOT = Path(__file__).parents[2]
_TIMES = 100


def definition() -> SagaDefinition[Data, float]:
    """One step, which says when it began: both processes are on one machine, and so is the clock."""

    async def say(inp: Data) -> float:
        return time.monotonic()

    builder = SagaBuilder(Data)
    return builder.build(output=builder.add_step(step(say), depends_on=builder.initial))


async def run(server: EmbeddedPostgres, report: Report) -> None:
    """Told by NOTIFY, and by looking alone."""
    rows: list[list[Value]] = []
    for listen, times in ((True, _TIMES), (False, _TIMES // 10)):
        schema = f"wake_{listen}".lower()
        async with SagaOrchestrator(server.dsn, schema=schema, migrate=True, concurrency=0) as orchestrator:
            handle = orchestrator.register("wake", definition())
            command = [sys.executable, "-m", "tests.bench.wake", server.dsn, schema, str(int(listen))]
            worker = subprocess.Popen(command, cwd=ROOT)
            await (await handle.start(Data())).result(60)
            waits: list[float] = []
            for _ in range(times):
                run_ = await handle.start(Data())
                begun = time.monotonic()
                waits.append(max(0.0, (await run_.result(60)) - begun) * 1e3)
                await asyncio.sleep(0.1)  # further apart than hints are sent
            worker.terminate()
            await asyncio.to_thread(worker.wait)
        waits.sort()
        how = "NOTIFY" if listen else "looking every second, at most, while idle"
        rows.append([how, times, median(waits), waits[int(len(waits) * 0.99)]])
    report.table("Started here, begun in another process", ["by", "sagas", "p50 ms", "p99 ms"], rows)


async def _work(dsn: str, schema: str, *, listen: bool) -> None:
    orchestrator = SagaOrchestrator(dsn, schema=schema, listen=listen, poll_interval=timedelta(seconds=1))
    orchestrator.register("wake", definition())
    await orchestrator.run_forever()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], sys.argv[2], listen=sys.argv[3] == "1"))
