"""The stage of the chaos run: its servers, its workers, the wire to them, and the faults that befall them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import asyncpg
import attrs

from saga_fn.embedded import EmbeddedPostgres
from saga_fn.store.driver_errors import DRIVER_ERRORS
from tests.faults.chaos.audit import alarming
from tests.faults.chaos.told import Stopped, Told
from tests.faults.chaos.worker import LEASE, NO_DATABASE
from tests.faults.processes import ROOT
from tests.support.wire import Wire

WORKERS: Final = 3
_END: Final = 60.0
"""Seconds within which a process that was told to end is gone, however slow the machine."""
_TAIL: Final = 12


@attrs.define(eq=False)
class Worker:
    """One place for a worker process, where one is begun when one has died."""

    name: str
    dsn: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    busy: bool = False
    """Whether a fault befalls it just now."""

    def lines(self) -> list[str]:
        """All that processes at this place have logged."""
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def tail(self) -> str:
        """The last of them, for a message."""
        return "".join(f"\n    {line}" for line in self.lines()[-_TAIL:])


@attrs.define(eq=False)
class Stage:
    """All of it. `wire` is the way of every second worker to the database."""

    server: EmbeddedPostgres
    dsn: str
    """How to reach it, whether it runs or not."""
    wire: Wire
    books: str
    seed: int
    told: Told
    workers: list[Worker]
    _restarting: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    def begin_all(self) -> None:
        """See to it that a process runs at every place."""
        for worker in self.workers:
            self.begin(worker)

    def begin(self, worker: Worker) -> None:
        """Begin a process there, if none runs."""
        if worker.process is not None and worker.process.poll() is None:
            return
        command = [sys.executable, "-m", "tests.faults.chaos.worker", worker.dsn, self.books, str(self.seed)]
        with worker.log.open("ab") as log:
            worker.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    async def trouble(self, dice: random.Random, until: Callable[[], bool]) -> None:
        """Let one fault after another happen until it is time to stop."""
        while not until():
            await asyncio.sleep(0.4 + 2.0 * dice.random())
            self.look()
            kinds: list[tuple[int, Callable[[random.Random], Awaitable[None]]]] = [
                (4, self._kill),
                (5, self._stop),
                (3, self._terminate),
                (3, self._backends),
                (1, self._crash),
                (1, self._restart),
                (2, self._cut),
                (2, self._silence),
                (1, self._down),
                (2, self._delay),
                (3, self._clock),
            ]
            fault = dice.choices([each for _, each in kinds], [weight for weight, _ in kinds])[0]
            await fault(dice)

    async def calm(self) -> None:
        """Nothing is in the way any more, and a process runs at every place."""
        self.wire.down = self.wire.silent = False
        self.wire.delay = 0.0
        self.wire.cut()  # what was silenced is closed, as a network does in the end
        self.begin_all()

    def end_all(self) -> None:
        """End all processes, whatever state they are in."""
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                os.kill(worker.process.pid, signal.SIGCONT)
                worker.process.kill()
                worker.process.wait()

    async def retire_all(self) -> None:
        """Ask every process to end, and see that it does in order."""
        await asyncio.gather(*(self._retire(worker) for worker in self.workers))
        for worker in self.workers:
            self.told.strange += [f"{worker.name} logged: {line}" for line in alarming(worker.lines())]

    def look(self) -> None:
        """Note which process has died by itself."""
        for worker in self.workers:
            if not worker.busy and worker.process is not None and (code := worker.process.poll()) is not None:
                if code not in {NO_DATABASE, -signal.SIGUSR1}:  # while it ends, that signal ends it
                    self.told.strange.append(f"{worker.name} ended by itself with code {code}:{worker.tail()}")
                self.begin(worker)

    def _one(self, dice: random.Random, kind: str) -> Worker | None:
        self.look()
        chosen = dice.choice(self.workers)
        if chosen.busy:
            return None
        self.told.faults[kind] += 1
        chosen.busy = True
        return chosen

    async def _kill(self, dice: random.Random) -> None:
        pause = dice.random()
        if (worker := self._one(dice, "SIGKILL")) is None or worker.process is None:
            return
        worker.process.kill()
        await asyncio.to_thread(worker.process.wait)
        await asyncio.sleep(pause)
        self.begin(worker)
        worker.busy = False

    async def _stop(self, dice: random.Random) -> None:
        seconds = LEASE.total_seconds() * (0.5 + 2 * dice.random())
        if (worker := self._one(dice, "SIGSTOP")) is None or worker.process is None:
            return
        since = time.time()
        os.kill(worker.process.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.told.stopped.append(Stopped(worker.process.pid, since, time.time()))
        os.kill(worker.process.pid, signal.SIGCONT)
        worker.busy = False

    async def _terminate(self, dice: random.Random) -> None:
        if (worker := self._one(dice, "SIGTERM")) is not None:
            await self._retire(worker)
            self.begin(worker)
            worker.busy = False

    async def _retire(self, worker: Worker) -> None:
        process = worker.process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            code = await asyncio.to_thread(process.wait, _END)
        except subprocess.TimeoutExpired:
            self.told.strange.append(f"{worker.name} has not ended {_END:g} s after SIGTERM:{worker.tail()}")
            process.kill()
            process.wait()
            return
        if code not in {0, NO_DATABASE, -signal.SIGTERM, -signal.SIGUSR1}:  # before and after it has handlers for them
            self.told.strange.append(f"{worker.name} ended with code {code} at SIGTERM:{worker.tail()}")

    async def _backends(self, dice: random.Random) -> None:
        """Terminate some of the server's processes that serve clients."""
        share = dice.choice((0.2, 0.5, 1.0))
        self.told.faults["terminated backends"] += 1
        try:
            connection = await asyncpg.connect(self.dsn, timeout=5)
            try:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                    " AND pid <> pg_backend_pid() AND random() < $1",
                    share,
                )
            finally:
                connection.terminate()
        except DRIVER_ERRORS:
            pass  # it is away just now

    async def _crash(self, dice: random.Random) -> None:
        """Kill one of the server's processes: the server throws all clients out, and recovers."""
        if self._restarting.locked():
            return
        self.told.faults["killed backend"] += 1
        try:
            connection = await asyncpg.connect(self.dsn, timeout=5)
            pid = connection.get_server_pid()
            connection.terminate()
        except DRIVER_ERRORS:
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.5 * dice.random())

    async def _restart(self, dice: random.Random) -> None:
        """Stop the server at once, as a crash of the machine does, and start it again a little later."""
        pause = dice.random()
        if self._restarting.locked():
            return
        async with self._restarting:
            self.told.faults["immediate restart"] += 1
            os.kill(self.server.pid, signal.SIGQUIT)
            await asyncio.to_thread(self.server.stop)
            await asyncio.sleep(pause)
            await asyncio.to_thread(self.server.start)

    async def _cut(self, dice: random.Random) -> None:
        self.told.faults["wire cut"] += 1
        if dice.random() < 0.5:
            self.wire.lose(dice.choice(("request", "answer")), b"step_succeeded")
        else:
            self.wire.cut()

    async def _silence(self, dice: random.Random) -> None:
        self.told.faults["wire silent"] += 1
        self.wire.silence()
        self.wire.silent = True
        await asyncio.sleep(4 * dice.random())
        self.wire.silent = False

    async def _down(self, dice: random.Random) -> None:
        self.told.faults["wire down"] += 1
        self.wire.down = True
        self.wire.cut()
        await asyncio.sleep(3 * dice.random())
        self.wire.down = False

    async def _delay(self, dice: random.Random) -> None:
        self.told.faults["wire slow"] += 1
        self.wire.delay = dice.choice((0.02, 0.1, 0.4))
        await asyncio.sleep(3 * dice.random())
        self.wire.delay = 0.0

    async def _clock(self, dice: random.Random) -> None:
        """Let the wall clock of one process jump, once it is there to take the signal."""
        worker = dice.choice(self.workers)
        if (
            worker.process is not None
            and worker.process.poll() is None
            and f"ready {worker.process.pid}" in worker.lines()
        ):
            self.told.faults["clock jump"] += 1
            os.kill(worker.process.pid, signal.SIGUSR1)
