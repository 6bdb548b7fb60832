"""A worker process for the crash tests: `python -m tests.faults.worker DSN [POINT EVENT:STEP MANY]`.

Each execution is written to the table `ledger` of the same database, outside of any saga, before and after what it does.

With POINT the process kills itself where that many sagas have come to it at once: `claimed` (they are this process's,
and it has done nothing for them), or `before`, `in` or `after` the commit that would say EVENT of STEP.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

import asyncpg
import msgspec

from saga_fn import (
    NOT_DONE,
    Done,
    FixedRetry,
    NoRetry,
    NotDone,
    SagaBuilder,
    SagaDefinition,
    SagaOrchestrator,
    Step,
    StepContext,
    step,
)
from saga_fn.store.protocol import Store
from saga_fn.store.records import ClaimedSaga, Committed, SagaWrite

LEDGER = """CREATE TABLE IF NOT EXISTS ledger (
    saga uuid, step text, direction text, key text, pid int, phase text, at timestamptz DEFAULT clock_timestamp()
)"""


class Job(msgspec.Struct, frozen=True):
    """What a saga of the crash tests is started with: the steps that hang, and the one that fails or kills, by name.

    A flaky one fails at its first attempt. `stubborn`: a cancelled step goes on all the same. What
    fails does so after `linger` seconds.
    """

    hangs: str = ""
    fails: str = ""
    kills: str = ""
    flaky: str = ""
    stubborn: bool = False
    linger: float = 0.0


class Ledger:
    """Where every execution is written down."""

    def __init__(self, pool: asyncpg.Pool, together: tuple[str, int] = ("", 1)) -> None:
        self._pool = pool
        self._step, many = together
        self._barrier = asyncio.Barrier(many)

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
        name = _name(ctx.step_id, direction)
        await self.enter(job, ctx, direction, "begin")
        if job.kills == name:
            os._exit(9)
        while name in job.hangs.split(",") and await self._pool.fetchval("SELECT count(*) FROM released") == 0:
            await asyncio.sleep(0.05)
        if job.fails == name or (job.flaky == name and ctx.attempt == 1):
            await asyncio.sleep(job.linger)
            raise RuntimeError(f"{name} fails")
        await self.enter(job, ctx, direction, "end")
        if name == self._step:
            await self._barrier.wait()  # so that all of them are committed together

    async def ended(self, ctx: StepContext) -> bool:
        """Whether an execution under that key came to its end."""
        asked = "SELECT count(*) FROM ledger WHERE key = $1 AND direction = 'execute' AND phase = 'end'"
        return bool(await self._pool.fetchval(asked, ctx.idempotency_key))


def _name(step_id: str, direction: str) -> str:
    """What a job calls it."""
    return {"execute": step_id, "compensate": f"undo {step_id}"}.get(direction, f"{direction} {step_id}")


def definition(ledger: Ledger) -> SagaDefinition[Job, Job]:
    """Three steps, each of which can be undone."""

    async def do(inp: Job, ctx: StepContext) -> Job:
        await ledger.work(inp, ctx, "execute")
        return inp

    async def undo(inp: Job, out: Job, ctx: StepContext) -> None:
        await ledger.work(inp, ctx, "compensate")

    builder = SagaBuilder(Job)
    ref = builder.initial
    soon = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=50))
    for name in ("one", "two", "three"):
        ref = builder.add_step(
            step(do, compensate=undo, step_id=name, compensation_retry_policy=soon),
            depends_on=ref,
            retry_policy=soon if name == "two" else NoRetry(),
        )
    return builder.build(output=ref)


def doubtful(ledger: Ledger, *, probes: bool) -> SagaDefinition[Job, Job]:
    """Three steps; of the second it is found out whether it has run, or it is undone as what may have run."""

    async def do(inp: Job, ctx: StepContext) -> Job:
        await ledger.work(inp, ctx, "execute")
        return inp

    async def find(inp: Job, ctx: StepContext) -> Done[Job] | NotDone:
        await ledger.work(inp, ctx, "probe")
        return Done(inp) if await ledger.ended(ctx) else NOT_DONE

    async def undo(inp: Job, out: Job | None, ctx: StepContext) -> None:
        await ledger.work(inp, ctx, "compensate")

    builder = SagaBuilder(Job)
    one = builder.add_step(step(do, compensate=undo, step_id="one"), depends_on=builder.initial)
    asked = step(do, compensate=undo, probe=find, step_id="two")
    perhaps = step(do, compensate=undo, on_unknown="undo", step_id="two")
    two = builder.add_step(asked if probes else perhaps, depends_on=one)
    return builder.build(output=builder.add_step(step(do, step_id="three"), depends_on=two))


def forked(ledger: Ledger, *, siblings: Literal["await", "cancel"]) -> SagaDefinition[Job, Job]:
    """A root, three branches that run at the same time, and what joins two of them; all can be undone."""

    async def do(inp: Job, ctx: StepContext) -> Job:
        working = asyncio.create_task(ledger.work(inp, ctx, "execute"))
        while not working.done():
            try:
                await asyncio.shield(working)
            except asyncio.CancelledError:
                if not inp.stubborn:
                    working.cancel()
                    raise
        working.result()
        return inp

    async def undo(inp: Job, out: Job, ctx: StepContext) -> None:
        await ledger.work(inp, ctx, "compensate")

    def named(name: str) -> Step[Job, Job]:
        soon = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=50))
        return step(do, compensate=undo, step_id=name, compensation_retry_policy=soon)

    builder = SagaBuilder(Job, order="graph", siblings_on_failure=siblings)
    root = builder.add_step(named("root"), depends_on=builder.initial)
    left = builder.add_step(named("left"), depends_on=root)
    right = builder.add_step(named("right"), depends_on=root)
    other = builder.add_step(named("other"), depends_on=root)
    join = builder.add_step(named("join"), depends_on=(left, right), after=other, input_map=lambda one, _: one)
    return builder.build(output=join)


def spread(ledger: Ledger) -> SagaDefinition[Job, Job]:
    """A step, one that is done for each of six items, two at once, and what follows them all; all can be undone."""

    async def do(inp: Job, ctx: StepContext) -> Job:
        await ledger.work(inp, ctx, "execute")
        return inp

    async def undo(inp: Job, out: Job, ctx: StepContext) -> None:
        await ledger.work(inp, ctx, "compensate")

    soon = FixedRetry(max_attempts=3, delay=timedelta(milliseconds=50))
    work = step(do, compensate=undo, compensation_retry_policy=soon)
    builder = SagaBuilder(Job)
    root = builder.add_step(work, step_id="root", depends_on=builder.initial)
    many = builder.add_step(work.each(concurrency=2), step_id="many", depends_on=root, input_map=lambda job: [job] * 6)
    last = builder.add_step(work, step_id="last", depends_on=many, input_map=lambda jobs: jobs[0])
    return builder.build(output=last)


def die_at(store: Store, point: str, event: str, step_id: str, many: int) -> None:
    """Kill this process, as SIGKILL does, where that many sagas have come to that point."""
    claim_due, commit = store.claim_due, store.commit

    async def claim_and_die(
        shard: int, definitions: Sequence[tuple[str, int]], *, owner: UUID, limit: int, lease: timedelta
    ) -> list[ClaimedSaga]:
        claims = await claim_due(shard, definitions, owner=owner, limit=limit, lease=lease)
        if len(claims) >= many:
            os.kill(os.getpid(), signal.SIGKILL)
        return claims

    async def commit_and_die(shard: int, writes: Sequence[SagaWrite], *, past_locks: bool = False) -> Committed:
        said = [entry.event for write in writes for entry in write.entries]
        here = [each for each in said if type(each).__name__ == event and getattr(each, "step", "") == step_id]
        if len(here) < many:
            return await commit(shard, writes, past_locks=past_locks)
        if point == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        committing = asyncio.create_task(commit(shard, writes, past_locks=past_locks))
        if point == "in":
            await asyncio.sleep(0.001)  # it is on its way, and whether it has been written nobody can say
            os.kill(os.getpid(), signal.SIGKILL)
        await committing
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    if point == "claimed":
        setattr(store, "claim_due", claim_and_die)  # noqa: B010 - the store's class is final
    else:
        setattr(store, "commit", commit_and_die)  # noqa: B010 - as above


async def main(dsn: str, point: str = "", where: str = ":", many: str = "1") -> None:
    """Work until SIGTERM, or until that point."""
    event, _, step_id = where.partition(":")
    directions = {"StepSucceeded": "execute", "ProbeAnswered": "probe"}
    name = _name(step_id, directions.get(event, "compensate"))
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        orchestrator = SagaOrchestrator(
            dsn, concurrency=128, lease=timedelta(seconds=1), poll_interval=timedelta(milliseconds=100), pool_size=2
        )
        together = (name, int(many)) if point in ("before", "in", "after") else ("", 1)
        ledger = Ledger(pool, together)
        orchestrator.register("job", definition(ledger))
        orchestrator.register("fork", forked(ledger, siblings="await"))
        orchestrator.register("spread", spread(ledger))
        orchestrator.register("cut", forked(ledger, siblings="cancel"))
        orchestrator.register("asked", doubtful(ledger, probes=True))
        orchestrator.register("perhaps", doubtful(ledger, probes=False))
        if point:
            die_at(orchestrator.engine.store, point, event, step_id, int(many))
        await orchestrator.run_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
