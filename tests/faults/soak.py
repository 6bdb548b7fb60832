"""Half load with random kills for a long time: `python -m tests.faults.soak --minutes 30`.

It prints a table: every so often how many sagas have ended, p99 of their time to the end, the memory of a worker, sizes of tables
and indexes, and dead rows. Ended sagas are deleted a little later, so that a size that grows is a leak. At the end it says
whether p99, memory, sizes and dead rows of the last third exceed those of the second.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg
import attrs

from saga_fn import SagaError, SagaHandle, SagaOrchestrator, SagaRun
from saga_fn.embedded import EmbeddedPostgres
from tests.faults.processes import Processes, processes
from tests.faults.soaked import five_steps
from tests.support.journals import disagreements
from tests.support.servers import SETTINGS

PROGRAM: Final = "tests.faults.soaked"
WORKERS: Final = 2
KILLS: Final = 15.0
"""Seconds between two kills, at most; at least a third of it."""
CALIBRATING: Final = 10.0
ALLOWED: Final = 1.1
"""By how much the last third may exceed the second."""


@attrs.frozen
class Sample:
    """The measures of one moment."""

    minute: float
    ended: int
    p99: float
    """Seconds from the start of a saga to its end, of those that ended since the last sample."""
    memory: int
    """Megabytes of the largest worker."""
    tables: int
    indexes: int
    """Kilobytes."""
    dead: int
    """Dead rows of all tables, by the server's own count."""
    kills: int

    def line(self) -> str:
        """It, as a line of the table."""
        return (
            f"| {self.minute:.1f} | {self.ended:,} | {1000 * self.p99:.0f} | {self.memory} | {self.tables:,} |"
            f" {self.indexes:,} | {self.dead:,} | {self.kills} |"
        )


HEAD: Final = (
    "| minute | sagas ended | p99, ms | MB of a worker | tables, KB | indexes, KB | dead rows | kills |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)
_SIZES: Final = """
SELECT sum(pg_table_size(c.oid))::bigint / 1024, sum(pg_indexes_size(c.oid))::bigint / 1024,
       sum(pg_stat_get_dead_tuples(c.oid))::bigint
FROM pg_class AS c WHERE c.relnamespace = 'saga_fn'::regnamespace AND c.relkind = 'r'
"""


@attrs.define
class Soak:
    """One run."""

    dsn: str
    pool: asyncpg.Pool
    workers: Processes
    handle: SagaHandle[int, int]
    dice: random.Random
    rate: float
    """Starts a second."""
    pids: list[int] = attrs.field(factory=list[int])
    took: list[float] = attrs.field(factory=list[float])
    ended: int = 0
    accepted: int = 0
    lost: int = 0
    kills: int = 0
    refusals: int = 0
    samples: list[Sample] = attrs.field(factory=list[Sample])

    async def start(self, until: float) -> None:
        """Start sagas at the rate, a batch a tenth of a second, and await each."""
        number, due = 0, 0.0
        async with asyncio.TaskGroup() as waiting:
            while time.monotonic() < until:
                due += self.rate / 10
                batch, due = int(due), due - int(due)
                began = time.monotonic()
                try:
                    runs = await self.handle.start_many(range(number, number + batch)) if batch else []
                except SagaError:
                    self.refusals += 1
                    runs = []
                number += batch
                self.accepted += len(runs)
                for run in runs:
                    waiting.create_task(self._await(run, began))
                await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - began)))

    async def _await(self, run: SagaRun[int], began: float) -> None:
        try:
            await run.outcome(120)
        except SagaError:
            self.lost += 1
            return
        self.took.append(time.monotonic() - began)
        self.ended += 1

    async def kill(self, until: float) -> None:
        """Kill a worker now and then, or one of the server's processes for clients; another worker is begun."""
        while time.monotonic() < until:
            await asyncio.sleep(self.dice.uniform(KILLS / 3, KILLS))
            place = self.dice.randrange(len(self.pids))
            if self.dice.random() < 0.7:
                os.kill(self.pids[place], signal.SIGKILL)
                self.pids[place] = self.workers.begin()
            else:
                await self.pool.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'saga_fn%' AND random() < 0.5"
                )
            self.kills += 1

    async def sample(self, began: float, until: float, every: float) -> None:
        """Measure, again and again."""
        print(HEAD, flush=True)
        while time.monotonic() < until:
            await asyncio.sleep(every)
            took, self.took = sorted(self.took), []
            tables, indexes, dead = await self.pool.fetchrow(_SIZES) or (0, 0, 0)
            self.samples.append(
                Sample(
                    minute=(time.monotonic() - began) / 60,
                    ended=self.ended,
                    p99=took[int(0.99 * len(took))] if took else float("nan"),
                    memory=max(_memory(pid) for pid in self.pids),
                    tables=tables,
                    indexes=indexes,
                    dead=dead,
                    kills=self.kills,
                )
            )
            print(self.samples[-1].line(), flush=True)


def _memory(pid: int) -> int:
    """Megabytes that a process has in memory; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")), 0)


def grown(samples: Sequence[Sample]) -> list[str]:
    """A line for each measure whose middle value of the last third exceeds all of the second."""
    third = len(samples) // 3
    lines: list[str] = []
    for what in ("p99", "memory", "tables", "indexes", "dead"):
        second = max(getattr(each, what) for each in samples[third : 2 * third])
        last = sorted(getattr(each, what) for each in samples[-third:])[third // 2]
        if last > ALLOWED * second:
            lines.append(f"{what} grew from {second:g} to {last:g}")
    return lines


async def _calibrated(dsn: str, handle: SagaHandle[int, int]) -> float:
    """How many sagas a second the workers bring to their ends here, with nothing else to do."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        number, until = 0, time.monotonic() + CALIBRATING
        while time.monotonic() < until:
            going: int = await pool.fetchval("SELECT count(*) FROM saga_fn.saga WHERE ended_at IS NULL")
            if going < 600:
                await handle.start_many(range(number, number + 300))
                number += 300
            await asyncio.sleep(0.02)
        while await pool.fetchval("SELECT count(*) FROM saga_fn.saga WHERE ended_at IS NULL"):
            await asyncio.sleep(0.05)
        return number / (time.monotonic() - until + CALIBRATING)


async def soak(minutes: float, seed: int) -> int:
    """Run it, and print what came of it; 1 if anything is wrong."""
    settings = {**SETTINGS, "autovacuum": "on", "autovacuum_naptime": "5s", "autovacuum_vacuum_cost_delay": "0"}
    with EmbeddedPostgres(settings=settings) as server:
        async with (
            SagaOrchestrator(server.dsn, migrate=True, concurrency=0) as orchestrator,
            asyncpg.create_pool(server.dsn, min_size=1, max_size=2) as pool,
        ):
            with processes(PROGRAM, server.dsn) as workers:
                pids = [workers.begin() for _ in range(WORKERS)]
                handle = orchestrator.register("five", five_steps())
                full = await _calibrated(server.dsn, handle)
                print(
                    f"seed {seed}; full load {full:.0f} sagas a second, half of it for {minutes:g} minutes", flush=True
                )
                made = Soak(server.dsn, pool, workers, handle, random.Random(seed), full / 2, pids)
                began = time.monotonic()
                until = began + 60 * minutes
                async with asyncio.TaskGroup() as all_of:
                    all_of.create_task(made.start(until))
                    all_of.create_task(made.kill(until))
                    all_of.create_task(made.sample(began, until, max(5.0, 60 * minutes / 30)))
                wrong = grown(made.samples)
                left: int = await pool.fetchval("SELECT count(*) FROM saga_fn.saga WHERE ended_at IS NULL")
                workers.stop()  # what they delete cannot be verified
                wrong += await disagreements(pool)
                attention = (await orchestrator.health()).attention
        print(
            f"{made.accepted:,} starts accepted, {made.refusals} refused, {made.ended:,} ended, {made.lost} not told of in time,"
            f" {left} left over, {made.kills} kills; health names {[each.kind.value for each in attention]}"
        )
    wrong += [f"{left} sagas are left over"] if left else []
    for line in wrong:
        print(f"FOUND {line}")
    return 1 if wrong else 0


def _command() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="default: 30")
    parser.add_argument("--seed", type=int, default=7, help="what the kills follow from (default: 7)")
    given = parser.parse_args()
    logging.disable()
    return asyncio.run(soak(given.minutes, given.seed))


if __name__ == "__main__":
    sys.exit(_command())
