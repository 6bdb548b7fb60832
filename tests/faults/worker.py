"""A worker process for the crash tests: `python -m tests.faults.worker DSN [MODE]`.

Each execution is written to the table `ledger` of the same database, outside of any saga, before and after what it does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta

import asyncpg
import msgspec

from saga_fn import FixedRetry, SagaBuilder, SagaDefinition, SagaOrchestrator, StepContext, step

LEDGER = """CREATE TABLE IF NOT EXISTS ledger (
    saga uuid, step text, direction text, key text, pid int, phase text, at timestamptz DEFAULT clock_timestamp()
)"""


class Job(msgspec.Struct, frozen=True):
    """What a saga of the crash tests is started with: the step that hangs, fails or kills, by name."""

    hangs: str = ""
    fails: str = ""
    kills: str = ""


class Ledger:
    """Where every execution is written down."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def enter(self, job: Job, ctx: StepContext, direction: str, phase: str) -> None:
        await self._pool.execute(
            "INSERT INTO ledger (saga, step, direction, key, pid, phase) VALUES ($1, $2, $3, $4, $5, $6)",
            ctx.saga_id,
            ctx.step_id,
            direction,
            ctx.idempotency_key,
            os.getpid(),
            phase,
        )

    async def work(self, job: Job, ctx: StepContext, direction: str) -> None:
        name = ctx.step_id if direction == "execute" else f"undo {ctx.step_id}"
        await self.enter(job, ctx, direction, "begin")
        if job.kills == name:
            os._exit(9)
        while job.hangs == name and await self._pool.fetchval("SELECT count(*) FROM released") == 0:
            await asyncio.sleep(0.05)
        if job.fails == name:
            raise RuntimeError(f"{name} fails")
        await self.enter(job, ctx, direction, "end")


def definition(ledger: Ledger) -> SagaDefinition[Job, Job]:
    """Three steps, each of which can be undone."""

    async def do(inp: Job, ctx: StepContext) -> Job:
        await ledger.work(inp, ctx, "execute")
        return inp

    async def undo(inp: Job, out: Job, ctx: StepContext) -> None:
        await ledger.work(inp, ctx, "compensate")

    builder = SagaBuilder(Job)
    ref = builder.initial
    for name in ("one", "two", "three"):
        ref = builder.add_step(
            step(do, compensate=undo, step_id=name, compensation_retry_policy=FixedRetry(max_attempts=3)),
            depends_on=ref,
        )
    return builder.build(output=ref)


async def main(dsn: str) -> None:
    """Work until SIGTERM."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        orchestrator = SagaOrchestrator(
            dsn, lease=timedelta(seconds=1), poll_interval=timedelta(milliseconds=100), pool_size=2
        )
        orchestrator.register("job", definition(Ledger(pool)))
        await orchestrator.run_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
