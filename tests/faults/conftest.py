"""The stage of the crash tests: one database, real worker processes on it, and this process, which only looks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from saga_fn import SagaAdmin, SagaHandle, SagaOrchestrator
from tests.faults.worker import LEDGER, Job, Ledger, definition, doubtful, forked, spread

ROOT = Path(__file__).parents[2]
SOON = 30.0
Execution: TypeAlias = tuple[UUID, str, str]
"""Saga, step, direction."""


class Stage:
    """One database, the processes that work on it, and this process, which only starts and looks."""

    def __init__(self, dsn: str, pool: asyncpg.Pool, orchestrator: SagaOrchestrator) -> None:
        self.dsn = dsn
        self.pool = pool
        self.orchestrator = orchestrator
        ledger = Ledger(pool)
        self.jobs: SagaHandle[Job, Job] = orchestrator.register("job", definition(ledger))
        self.forks: SagaHandle[Job, Job] = orchestrator.register("fork", forked(ledger, siblings="await"))
        self.spreads: SagaHandle[Job, Job] = orchestrator.register("spread", spread(ledger))
        self.cuts: SagaHandle[Job, Job] = orchestrator.register("cut", forked(ledger, siblings="cancel"))
        self.asked: SagaHandle[Job, Job] = orchestrator.register("asked", doubtful(ledger, probes=True))
        self.perhaps: SagaHandle[Job, Job] = orchestrator.register("perhaps", doubtful(ledger, probes=False))
        self.processes: list[subprocess.Popen[bytes]] = []

    def work(self, *point: str) -> subprocess.Popen[bytes]:
        """Begin another worker process, which may kill itself at a point."""
        process = subprocess.Popen([sys.executable, "-m", "tests.faults.worker", self.dsn, *point], cwd=ROOT)
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

    async def committed(self) -> set[Execution]:
        """What the journals say has been done."""
        rows = await self.pool.fetch(
            "SELECT saga_id, step_id, CASE kind WHEN 'step_succeeded' THEN 'execute' ELSE 'compensate' END"
            " FROM saga_fn.saga_journal WHERE kind IN ('step_succeeded', 'compensation_succeeded')"
        )
        return {(saga, step, direction) for saga, step, direction in rows}

    async def executions(self) -> tuple[Counter[Execution], dict[Execution, set[str]]]:
        """How often each was begun, and under which idempotency keys."""
        begun: Counter[Execution] = Counter()
        keys: dict[Execution, set[str]] = defaultdict(set)
        rows = await self.pool.fetch("SELECT saga, step, direction, key FROM ledger WHERE phase = 'begin'")
        for saga, step, direction, key in rows:
            begun[saga, step, direction] += 1
            keys[saga, step, direction].add(key)
        return begun, keys

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
