"""The stage of the crash tests: one database, the processes that work on it, and this process, which only looks."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TypeAlias
from uuid import UUID

import asyncpg
import attrs

from saga_fn import Compensated, Completed, Failed, SagaAdmin, SagaOrchestrator, SagaRun
from tests.faults.death import SURVIVES
from tests.faults.ledger import Job, Ledger
from tests.faults.processes import Processes
from tests.faults.sagas import Sagas
from tests.support.until import SOON

Execution: TypeAlias = tuple[UUID, str, str]
"""Saga, step, direction."""


@attrs.frozen
class Executions:
    """What was executed, by the ledger."""

    begun: Counter[Execution]
    """How often each was begun."""
    keys: dict[Execution, set[str]]
    """Under which idempotency keys."""

    def by_step(self, direction: str = "execute") -> dict[str, int]:
        """How often each step was begun, whatever its saga."""
        return {step: count for (_, step, way), count in self.begun.items() if way == direction}


class Stage:
    """`sagas` are the handles to start from; `processes` work on what was started."""

    def __init__(self, pool: asyncpg.Pool, orchestrator: SagaOrchestrator, processes: Processes) -> None:
        self.pool = pool
        self.orchestrator = orchestrator
        self.sagas = Sagas(orchestrator, Ledger(pool))
        self.processes = processes

    async def until(self, query: str, *arguments: object) -> None:
        """Wait until the query says TRUE."""
        async with asyncio.timeout(SOON):
            while not await self.pool.fetchval(query, *arguments):
                await asyncio.sleep(0.02)

    async def entered(self, run: SagaRun[Job], *steps: str, direction: str = "execute", phase: str = "begin") -> None:
        """Wait until processes have begun (or ended) these steps."""
        for step in steps:
            await self.until(
                "SELECT count(*) > 0 FROM ledger WHERE (saga, step, direction, phase) = ($1, $2, $3, $4)",
                run.id,
                step,
                direction,
                phase,
            )

    async def entered_again(self, run: SagaRun[Job], step: str, times: int) -> None:
        """Wait until processes have begun this step so many times."""
        await self.until(
            "SELECT count(*) >= $3 FROM ledger WHERE (saga, step, direction, phase) = ($1, $2, 'execute', 'begin')",
            run.id,
            step,
            times,
        )

    async def recorded(self, run: SagaRun[Job], *steps: str, direction: str = "execute") -> None:
        """Wait until the journal says that these steps have been done."""
        async with asyncio.timeout(SOON):
            while not {(run.id, step, direction) for step in steps} <= await self.committed():
                await asyncio.sleep(0.02)

    async def takes_over(
        self, *runs: SagaRun[Job], end: type[Completed[Job] | Compensated | Failed], perhaps_left: str = ""
    ) -> None:
        """Begin a process, in which nothing hangs; each saga ends like that, and every step of it is recorded once.

        A saga of which another step ran when the process died than the one that it died in may have that left over.
        """
        await self.release()
        await self.ends_leases()
        self.processes.begin(SURVIVES)
        for run in runs:
            ended = await run.outcome(SOON)
            if perhaps_left and isinstance(ended, Failed):
                assert [(left.step_id, left.kind.value) for left in ended.left_over] == [(perhaps_left, "may have run")]
            else:
                assert isinstance(ended, end)
        await self.assert_recorded_once(*runs)

    async def one_dies_at(self, point: str, where: str, many: int = 1) -> None:
        """Begin a process that kills itself there, wait until it has, and let its leases be over."""
        await self.processes.one_dies_at(point, where, many)
        await self.ends_leases()

    async def ends_leases(self) -> None:
        """Let the leases be over of the processes that have died: all that there are."""
        await self.pool.execute("UPDATE saga_fn.saga SET due_at = now() WHERE owner IS NOT NULL")

    async def release(self) -> None:
        """From now on nothing hangs."""
        await self.pool.execute("INSERT INTO released VALUES (1)")

    async def committed(self) -> set[Execution]:
        """What the journals say has been done."""
        rows = await self.pool.fetch(
            "SELECT saga_id, step_id, CASE kind WHEN 'step_succeeded' THEN 'execute' ELSE 'compensate' END"
            " FROM saga_fn.saga_journal WHERE kind IN ('step_succeeded', 'compensation_succeeded')"
        )
        return {(saga, step, direction) for saga, step, direction in rows}

    async def assert_attributes_true(self) -> None:
        """Each saga that is searched for has the value that its last durable success set, and no other one."""
        rows = await self.pool.fetch(
            "SELECT (SELECT 's' || j.step_id FROM saga_fn.saga_journal AS j"
            "        WHERE j.saga_id = s.id AND j.kind = 'step_succeeded' ORDER BY j.seq DESC LIMIT 1) AS told,"
            "       (SELECT a.value FROM saga_fn.saga_attribute AS a WHERE a.saga_id = s.id) AS found"
            " FROM saga_fn.saga AS s WHERE s.name = 'searched'"
        )
        assert rows
        assert [row["found"] for row in rows] == [row["told"] for row in rows]

    async def executions(self) -> Executions:
        """What the ledger says. Whatever was repeated had the same idempotency key."""
        begun: Counter[Execution] = Counter()
        keys: dict[Execution, set[str]] = defaultdict(set)
        rows = await self.pool.fetch("SELECT saga, step, direction, key FROM ledger WHERE phase = 'begin' ORDER BY at")
        for saga, step, direction, key in rows:
            begun[saga, step, direction] += 1
            keys[saga, step, direction].add(key)
        assert all(len(under) == 1 for under in keys.values())
        return Executions(begun, keys)

    async def assert_recorded_once(self, *runs: SagaRun[Job]) -> None:
        """Each step succeeded once by the journal, and the journal folds to the stored state."""
        admin = SagaAdmin(self.orchestrator)
        for run in runs:
            history = (await admin.get_saga(run.id)).step_history
            successes = Counter((e.phase, e.step_id) for e in history if e.status == "SUCCESS")
            assert set(successes.values()) <= {1}
            assert await admin.verify(run.id) == []

    async def assert_repeated_at_most_what_was_not(self, committed: set[Execution]) -> None:
        """What was committed when a process died was not done again, and the rest at most once more."""
        begun = (await self.executions()).begun
        assert {begun[each] for each in committed} <= {1}
        assert max(begun.values()) <= 2
