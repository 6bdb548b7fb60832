"""Real processes, real signals: every accepted saga ends, and each result is recorded once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from saga_fn import Compensated, Completed, SagaAdmin, SagaHandle, SagaOrchestrator, SagaStatus
from tests.faults.worker import LEDGER, Job, Ledger, definition

ROOT = Path(__file__).parents[2]
SOON = 30.0


class Stage:
    """One database, the processes that work on it, and this process, which only starts and looks."""

    def __init__(self, dsn: str, pool: asyncpg.Pool, orchestrator: SagaOrchestrator) -> None:
        self.dsn = dsn
        self.pool = pool
        self.orchestrator = orchestrator
        self.jobs: SagaHandle[Job, Job] = orchestrator.register("job", definition(Ledger(pool)))
        self.processes: list[subprocess.Popen[bytes]] = []

    def work(self) -> subprocess.Popen[bytes]:
        """Begin another worker process."""
        process = subprocess.Popen([sys.executable, "-m", "tests.faults.worker", self.dsn], cwd=ROOT)
        self.processes.append(process)
        return process

    async def entered(self, saga: UUID, step: str, direction: str = "execute", phase: str = "begin") -> int:
        """Wait until a process has begun (or ended) that step; gives its pid."""
        async with asyncio.timeout(SOON):
            while True:
                pid: int | None = await self.pool.fetchval(
                    "SELECT pid FROM ledger WHERE saga = $1 AND step = $2 AND direction = $3 AND phase = $4",
                    saga,
                    step,
                    direction,
                    phase,
                )
                if pid is not None:
                    return pid
                await asyncio.sleep(0.02)

    async def release(self) -> None:
        """From now on nothing hangs."""
        await self.pool.execute("INSERT INTO released VALUES (1)")

    async def assert_recorded_once(self, *sagas: UUID) -> None:
        """Each step succeeded once by the journal, and the journal folds to the stored state."""
        admin = SagaAdmin(self.orchestrator)
        for saga in sagas:
            history = (await admin.get_saga(saga)).step_history
            successes = Counter((e.phase, e.step_id) for e in history if e.status == "SUCCESS")
            assert set(successes.values()) <= {1}
            assert await admin.verify(saga) == []


@pytest.fixture
async def stage(dsn: str) -> AsyncIterator[Stage]:
    async with (
        asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool,
        SagaOrchestrator(dsn, concurrency=0) as orchestrator,
    ):
        await pool.execute(LEDGER)
        await pool.execute("CREATE TABLE released (one int)")
        made = Stage(dsn, pool, orchestrator)
        yield made
        for process in made.processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
            process.wait()


@pytest.mark.parametrize("step", ["one", "two", "three"])
async def test_killed_in_a_step(stage: Stage, step: str) -> None:
    run = await stage.jobs.start(Job(hangs=step))
    first = stage.work()
    assert await stage.entered(run.id, step) == first.pid
    first.kill()
    await stage.release()
    stage.work()
    assert isinstance(await run.outcome(SOON), Completed)
    await stage.assert_recorded_once(run.id)
    keys: list[str] = [
        row[0] for row in await stage.pool.fetch("SELECT key FROM ledger WHERE step = $1 AND phase = 'begin'", step)
    ]
    assert len(keys) == 2, "it was repeated"
    assert len(set(keys)) == 1, "under the same idempotency key"


async def test_killed_in_a_compensation(stage: Stage) -> None:
    run = await stage.jobs.start(Job(fails="three", hangs="undo one"))
    first = stage.work()
    await stage.entered(run.id, "one", "compensate")
    first.kill()
    await stage.release()
    stage.work()
    assert isinstance(await run.outcome(SOON), Compensated)
    await stage.assert_recorded_once(run.id)


async def test_killed_after_a_step_and_before_its_commit(stage: Stage) -> None:
    run = await stage.jobs.start(Job(hangs="two"))
    first = stage.work()
    await stage.entered(run.id, "two")
    holder = await asyncpg.connect(stage.dsn)
    transaction = holder.transaction()
    await transaction.start()
    await holder.fetch("SELECT 1 FROM saga_fn.saga FOR UPDATE")  # a commit of this saga cannot pass
    await stage.release()
    await stage.entered(run.id, "two", phase="end")
    first.kill()
    await transaction.rollback()
    await holder.close()
    stage.work()
    assert isinstance(await run.outcome(SOON), Completed)
    await stage.assert_recorded_once(run.id)


async def test_a_paused_worker_that_lost_its_lease_commits_nothing(stage: Stage) -> None:
    run = await stage.jobs.start(Job(hangs="two"))
    first = stage.work()
    await stage.entered(run.id, "two")
    os.kill(first.pid, signal.SIGSTOP)
    stage.work()
    async with asyncio.timeout(SOON):
        while await stage.pool.fetchval("SELECT count(DISTINCT pid) FROM ledger WHERE step = 'two'") < 2:
            await asyncio.sleep(0.05)
    await stage.release()
    assert isinstance(await run.outcome(SOON), Completed)
    before = len((await SagaAdmin(stage.orchestrator).get_saga(run.id)).step_history)
    os.kill(first.pid, signal.SIGCONT)
    await asyncio.sleep(0.5)  # time for the late worker to do what it must not
    assert len((await SagaAdmin(stage.orchestrator).get_saga(run.id)).step_history) == before
    await stage.assert_recorded_once(run.id)


@pytest.mark.parametrize("workers", [2, 8])
async def test_many_processes_execute_each_step_once(stage: Stage, workers: int) -> None:
    runs = [await stage.jobs.start(Job()) for _ in range(40)]
    for _ in range(workers):
        stage.work()
    for run in runs:
        assert isinstance(await run.outcome(SOON), Completed)
    executed = await stage.pool.fetch("SELECT saga, step FROM ledger WHERE phase = 'begin'")
    assert len(executed) == len({(row[0], row[1]) for row in executed}) == 3 * len(runs)
    await stage.assert_recorded_once(*(run.id for run in runs))


async def test_weakness_06_a_saga_that_kills_its_process_is_parked_alone(stage: Stage) -> None:
    runs = [await stage.jobs.start(Job()) for _ in range(10)]
    poison = await stage.jobs.start(Job(kills="two"))
    process = stage.work()
    async with asyncio.timeout(60):
        while (await poison.snapshot()).parked is None:
            if process.poll() is not None:
                process = stage.work()
            await asyncio.sleep(0.05)
    seen = await SagaAdmin(stage.orchestrator).get_saga(poison.id)
    assert (seen.status, seen.parked) == (SagaStatus.SUSPENDED, "crash_loop")
    assert [entry.kind for entry in seen.step_history].count("resumed") > 2, "each takeover is in the history"
    for run in runs:
        assert isinstance(await run.outcome(SOON), Completed)
    await stage.assert_recorded_once(poison.id, *(run.id for run in runs))


async def test_abort_races_the_end_of_a_saga(stage: Stage) -> None:
    stage.work()
    admin = SagaAdmin(stage.orchestrator)
    runs = [await stage.jobs.start(Job(fails="three" if number % 2 else "")) for number in range(20)]
    await asyncio.gather(*(admin.abort(run.id) for run in runs), return_exceptions=True)
    for run in runs:
        ended = await run.outcome(timedelta(seconds=SOON))
        snapshot = await run.snapshot()
        assert snapshot.status.is_terminal
        assert (await run.outcome(SOON)) == ended, "an end stays as it is"
    await stage.assert_recorded_once(*(run.id for run in runs))
