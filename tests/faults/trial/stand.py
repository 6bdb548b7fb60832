"""Where a fault is tried: a server of its own, the way to it, workers, a steady load, and what comes of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import attrs
import msgspec

from saga_fn import SagaError, SagaHandle, SagaNotFoundError, SagaOrchestrator, SagaRun
from saga_fn.embedded import EmbeddedPostgres
from tests.faults.chaos.audit import alarming
from tests.faults.ledger import Job
from tests.faults.processes import ROOT, Processes
from tests.faults.trial.cells import Cell
from tests.faults.trial.figures import Outcome
from tests.faults.trial.questions import Questions
from tests.faults.trial.shim import Shim
from tests.faults.trial.verdict import PARKED, Tried, look, verdict
from tests.faults.trial.work import LEASE, Note, Trials, approved
from tests.faults.trial.worker import NO_DATABASE, Given
from tests.store.pooler import Pooler
from tests.support.until import SOON
from tests.support.wire import Wire

PROGRAM: Final = "tests.faults.trial.worker"
WORKERS: Final = 2
RATE: Final = 15.0
"""Starts a second."""
AT_ONCE: Final = 30
"""Starts that wait for an answer, and sagas that have not ended, on a machine that is too slow for more."""
_GOING: Final = "SELECT count(*) FROM saga_fn.saga WHERE ended_at IS NULL"
ORPHANED: Final = 60.0
"""Seconds after the fault within which every saga has come to where it has to."""
TAKES: Final = 0.03
LONGEST_CALL: Final = 90.0
_FORTH, _BACK = "COMPLETED", "COMPENSATED"


@attrs.frozen
class Needs:
    """The needs of a fault."""

    settings: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Settings of its PostgreSQL."""
    lease: float = LEASE
    """The lease of the workers, in seconds."""
    shim: bool = False
    """Whether clock and disk of PostgreSQL are told what to do."""


@attrs.define(eq=False)
class Worker:
    """One place for a worker, where one is begun when one has died."""

    given: Given
    pid: int = 0
    child: subprocess.Popen[bytes] | None = None
    """It, if it is not forked from this run's server of processes."""
    spared: bool = False
    """Whether it is not begun again."""
    codes: frozenset[int] = frozenset({NO_DATABASE, -signal.SIGKILL, 0})
    """The codes that it may end with."""


@attrs.define(eq=False)
class Stand:
    """All of it."""

    cell: Cell
    needs: Needs
    server: EmbeddedPostgres
    front: Wire
    """The way of workers and callers."""
    back: Wire
    """The way to the server: of the pooler, or the same."""
    pool_server: Pooler | None
    books: asyncpg.Pool
    books_dsn: str
    folder: Path
    processes: Processes
    orchestrator: SagaOrchestrator
    sagas: Trials
    shim: Shim | None
    dsn: str
    """How this test itself looks at the database, past all wires. A promotion changes it."""
    stack: AsyncExitStack
    """All that is closed with the stand."""
    questions: Questions = attrs.field(factory=Questions)
    workers: list[Worker] = attrs.field(factory=list[Worker])
    accepted: dict[UUID, str] = attrs.field(factory=dict[UUID, str])
    """How each saga whose start was acknowledged has to end."""
    events: dict[UUID, int] = attrs.field(factory=dict[UUID, int])
    strange: list[str] = attrs.field(factory=list[str])
    errors: Counter[str] = attrs.field(factory=Counter[str])
    over: asyncio.Event = attrs.field(factory=asyncio.Event)
    numbers: int = 0

    def worker(self, point: str = "", where: str = ":", *, plan: int = 1, shim: Shim | None = None) -> Worker:
        """Begin a worker at a new place."""
        given = Given(
            books=self.books_dsn,
            log=str(self.folder / f"worker-{len(self.workers)}.log"),
            pooled=self.cell.pooled,
            listen_dsn=self.back.dsn if self.cell.pooled else None,
            lease=self.needs.lease,
            point=point,
            where=where,
            plan=plan,
        )
        worker = Worker(given)
        self._begin(worker, shim)
        self.workers.append(worker)
        return worker

    def _begin(self, worker: Worker, shim: Shim | None = None) -> None:
        told = msgspec.json.encode(worker.given).decode()
        if shim is None:
            worker.pid, worker.child = self.processes.begin(told), None
            return
        worker.child = subprocess.Popen(
            [sys.executable, "-m", PROGRAM, self.front.dsn, told], cwd=ROOT, env={**os.environ, **shim.variables()}
        )
        worker.pid = worker.child.pid

    def code(self, worker: Worker) -> int | None:
        """Its exit code, if it has ended."""
        return self.processes.code(worker.pid) if worker.child is None else worker.child.poll()

    def kill(self, worker: Worker) -> None:
        """Kill it; another one is begun at its place, without what this one was told to do."""
        if self.code(worker) is None:
            os.kill(worker.pid, signal.SIGKILL)

    async def died(self, worker: Worker) -> None:
        """Return when it has killed itself."""
        async with asyncio.timeout(SOON):
            while worker.given.point:
                await asyncio.sleep(0.02)

    async def watch(self) -> None:
        """Begin a worker again wherever one has ended."""
        while True:
            for worker in self.workers:
                code = self.code(worker)
                if code is None or worker.spared:
                    continue
                if code not in worker.codes:
                    self.strange.append(f"a worker ended by itself with code {code}: {_tail(worker)}")
                worker.given = msgspec.structs.replace(worker.given, point="")
                self._begin(worker)
            await asyncio.sleep(0.1)

    async def load(self) -> None:
        """Start sagas one after another, whatever comes of it, unless too many are on their way."""
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as starts:
            while not self.over.is_set():
                if self.numbers % 10 == 0:
                    while not self.over.is_set() and (await self.asked(_GOING) or 0) > AT_ONCE:
                        await asyncio.sleep(0.1)
                await room.acquire()
                self.numbers += 1
                starts.create_task(self._one(self.numbers, room))
                await asyncio.sleep(1 / RATE)

    async def _one(self, number: int, room: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(LONGEST_CALL):
                await self._start(number)
        except TimeoutError:
            self.strange.append(f"a call took more than {LONGEST_CALL:.0f} s")
        finally:
            room.release()

    async def _start(self, number: int) -> None:
        sagas, job = self.sagas, Job(takes=TAKES)
        match number % 6:
            case 0:
                await self._until_accepted(sagas.jobs, job, f"key-{number}")
            case 1:
                await self.start(sagas.forks, Job(fails="join", takes=TAKES), _BACK)
            case 2:
                await self.start(sagas.jobs, Job(flaky="two", takes=TAKES), _FORTH)
            case 3:
                await self.start(sagas.forks, job, _FORTH)
            case 4:
                await self.start(sagas.deployed, job, _FORTH)
            case _:
                if (run := await self.start(sagas.waits, job, _FORTH)) is not None:
                    self.events[run.id] = number
                    await self._send_twice(run, number)

    async def start(
        self, handle: SagaHandle[Any, Any], data: object, end: str, key: str | None = None
    ) -> SagaRun[Any] | None:
        """Start one; None if it was not accepted. Any: sagas of every type."""
        try:
            run = await handle.start(data, idempotency_key=key)
        except SagaError as error:
            self.errors[type(error).__name__] += 1
            return None
        except Exception as error:  # noqa: BLE001 - no other error may come out of a call
            self.strange.append(f"start raised {type(error).__name__}: {error}")
            return None
        self.accepted[run.id] = end
        return run

    async def _until_accepted(self, handle: SagaHandle[Job, Job], job: Job, key: str) -> None:
        """As a client does that was told an error: again, under the same key."""
        while await self.start(handle, job, _FORTH, key) is None:
            await asyncio.sleep(0.2)

    async def _send_twice(self, run: SagaRun[Any], number: int) -> None:  # Any: a saga of any type
        """Send its event until that was accepted, and once more."""
        sent = 0
        while sent < 2:
            try:
                await self.orchestrator.to(run.id, approved).send(Note(number), event_id=str(number))
            except SagaNotFoundError:
                return  # its start is lost, which is counted elsewhere
            except SagaError as error:
                self.errors[type(error).__name__] += 1
                await asyncio.sleep(0.2)
            except Exception as error:  # noqa: BLE001 - no other error may come out of a call
                self.strange.append(f"send raised {type(error).__name__}: {error}")
                return
            else:
                sent += 1

    async def send_again(self) -> None:
        """Send the events again whose sagas are known to wait: what was accepted may be lost with the rest."""
        for saga, number in self.events.items():
            try:
                await self.orchestrator.to(saga, approved).send(Note(number), event_id=str(number))
            except SagaNotFoundError:
                continue

    async def asked(self, question: str, *arguments: object) -> Any:  # Any: whatever a row has
        """Ask the database itself; None if it does not answer."""
        return await self.questions.ask(self.dsn, question, *arguments)

    async def ended(self, more: int = 12) -> None:
        """Return when so many more sagas have ended."""
        count = "SELECT count(*) FROM saga_fn.saga WHERE ended_at IS NOT NULL"
        before = None
        async with asyncio.timeout(ORPHANED):
            while True:
                now = await self.asked(count)
                if now is not None:
                    before = now if before is None else min(before, now)
                    if now >= before + more:
                        return
                await asyncio.sleep(0.05)

    async def calm(self) -> None:
        """Nothing is in the way any more."""
        for wire in (self.front, self.back):
            wire.down = wire.silent = False
            wire.delay = wire.rate = 0
        if self.shim is not None:
            self.shim.calm()

    async def settled(self) -> int:
        """Wait until every saga has come to where it has to, an end or a person; how many have not."""
        # A start whose answer was lost may stand; its caller does not know it, and sends no event to it.
        going = (
            "SELECT count(*) FROM saga_fn.saga WHERE ended_at IS NULL AND NOT (id = ANY($1::uuid[]) AND parked IS NOT NULL)"
            " AND NOT (name = 'waits' AND id <> ALL($2::uuid[]))"
        )
        parked = [saga for saga, end in self.accepted.items() if end == PARKED]
        left, until = -1, time.monotonic() + ORPHANED
        while left and time.monotonic() < until:
            left = await self.asked(going, parked, list(self.accepted))
            left = -1 if left is None else left
            await asyncio.sleep(0.05)
        return left

    async def judge(self, fault: int, orphans: int, seconds: float) -> Outcome:
        """The verdict of the trial."""
        logged = [
            f"a worker logged: {line}{_tail(worker)}"
            for worker in self.workers
            for line in alarming(_own_lines(worker))[:1]
        ]
        async with asyncpg.create_pool(self.dsn, min_size=1, max_size=2) as pool:
            seen = await look(pool, self.books)
        strange = [*self.strange, *logged]
        return verdict(Tried(fault, self.cell.name, self.accepted, strange, orphans, seconds), seen)

    def end(self) -> None:
        """End all workers, those that sleep as well."""
        self.questions.end()
        self.processes.stop()
        for worker in self.workers:
            if worker.child is not None and worker.child.poll() is None:
                os.kill(worker.pid, signal.SIGCONT)
                worker.child.kill()
                worker.child.wait()


def _lines(worker: Worker) -> list[str]:
    log = Path(worker.given.log)
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def _own_lines(worker: Worker) -> list[str]:
    """All but what the driver leaves behind when a connection breaks in the moment in which it asks for TLS."""
    lines, left = _lines(worker), "unexpected connection_lost() call"
    return [line for place, line in enumerate(lines) if not any(left in near for near in lines[place : place + 3])]


def _tail(worker: Worker) -> str:
    return "".join(f"\n    {line}" for line in _lines(worker)[-40:])
