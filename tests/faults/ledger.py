"""What is asked of a saga of the crash tests, and where each of its executions is written down, outside of any saga."""

from __future__ import annotations

import asyncio
import os

import asyncpg
import msgspec

from saga_fn import StepContext

TABLES = """
CREATE TABLE ledger (
    saga uuid, step text, direction text, key text, pid int, phase text, at timestamptz DEFAULT clock_timestamp()
);
CREATE TABLE released (one int)
"""


class Job(msgspec.Struct, frozen=True):
    """What a saga of the crash tests is started with: the steps that hang, and the one that fails or kills, by name.

    A flaky one fails at its first attempt. `stubborn`: a cancelled step goes on all the same. What
    fails does so after `linger` seconds, and a compensation waits for `patience` seconds, or for ever.
    Each execution takes `takes` seconds.
    """

    hangs: str = ""
    fails: str = ""
    kills: str = ""
    flaky: str = ""
    stubborn: bool = False
    linger: float = 0.0
    takes: float = 0.0
    patience: float | None = None


class Ledger:
    """Where every execution is written down."""

    def __init__(self, pool: asyncpg.Pool, together: tuple[str, int] = ("", 1)) -> None:
        self._pool = pool
        self._step, many = together
        self._barrier = asyncio.Barrier(many)

    async def work(self, job: Job, ctx: StepContext, direction: str) -> None:
        """Do what the job says of this execution, and write it down before and after."""
        name = name_of(ctx.step_id, direction)
        await self._write(ctx, direction, "begin")
        if job.takes:
            await asyncio.sleep(job.takes)
        if job.kills == name:
            os._exit(9)
        while name in job.hangs.split(",") and await self._pool.fetchval("SELECT count(*) FROM released") == 0:
            await asyncio.sleep(0.05)
        if job.fails == name or (job.flaky == name and ctx.attempt == 1):
            await asyncio.sleep(job.linger)
            raise RuntimeError(f"{name} fails")
        await self._write(ctx, direction, "end")
        if name == self._step:
            await self._barrier.wait()  # so that all of them are committed together

    async def ended(self, ctx: StepContext) -> bool:
        """Whether an execution under that key came to its end."""
        asked = "SELECT count(*) FROM ledger WHERE key = $1 AND direction = 'execute' AND phase = 'end'"
        return bool(await self._pool.fetchval(asked, ctx.idempotency_key))

    async def _write(self, ctx: StepContext, direction: str, phase: str) -> None:
        await self._pool.execute(
            "INSERT INTO ledger (saga, step, direction, key, pid, phase) VALUES ($1, $2, $3, $4, $5, $6)",
            ctx.saga_id,
            ctx.step_id,
            direction,
            ctx.idempotency_key,
            os.getpid(),
            phase,
        )


def name_of(step_id: str, direction: str) -> str:
    """What a job calls it."""
    return {"execute": step_id, "compensate": f"undo {step_id}"}.get(direction, f"{direction} {step_id}")
