"""Real processes, which are begun by a test, die by SIGKILL, and are not left behind.

A server that has imported the library once forks them: to import it takes as much work as all that most of them do.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.support.until import SOON

ROOT = Path(__file__).parents[2]
PROGRAMS = [
    "tests.faults.actor",
    "tests.faults.booker",
    "tests.faults.caller",
    "tests.faults.carrier",
    "tests.faults.late_booker",
    "tests.faults.rewinder",
    "tests.faults.soaked",
    "tests.faults.trial.worker",
    "tests.faults.waiter",
    "tests.faults.worker",
]

_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(PROGRAMS)


def _run(program: str, dsn: str, *point: str) -> None:
    """As `python -m program dsn *point` would."""
    asyncio.run(import_module(program).main(dsn, *point))


class Processes:
    """Worker processes of one program, on one database."""

    def __init__(self, program: str, dsn: str) -> None:
        self._given = (program, dsn)
        self._begun: list[BaseProcess] = []

    def begin(self, *point: str) -> int:
        """Begin another, which may kill itself at a point (see `tests.faults.death`); gives its id."""
        process = _forked.Process(target=_run, args=(*self._given, *point), daemon=True)
        process.start()
        self._begun.append(process)
        assert process.pid is not None
        return process.pid

    def lives(self, pid: int) -> bool:
        """Whether a process has not ended."""
        return self.code(pid) is None

    def code(self, pid: int) -> int | None:
        """The exit code of a process, if it has ended; below 0: a signal."""
        return self._of(pid).exitcode

    def _of(self, pid: int) -> BaseProcess:
        return next(process for process in self._begun if process.pid == pid)

    @contextmanager
    def killed(self) -> Generator[None]:
        """Begin one that is killed when the block ends, which waits for the moment."""
        process = self._of(self.begin())
        yield
        process.kill()
        process.join()

    async def one_dies_at(self, point: str, where: str, many: int = 1) -> None:
        """Begin one that kills itself there, and wait until it has."""
        await self.died(self.begin(point, where, str(many)))

    async def died(self, pid: int) -> None:
        """Return when the process has killed itself."""
        process = self._of(pid)
        await asyncio.to_thread(process.join, SOON)
        assert process.exitcode == -signal.SIGKILL, "it got to that point"

    async def ended(self, pid: int) -> None:
        """Return when the process has done its work."""
        process = self._of(pid)
        await asyncio.to_thread(process.join, SOON)
        assert process.exitcode == 0

    def stop(self) -> None:
        """End all of them, those that sleep as well."""
        for process in self._begun:
            if process.exitcode is None and process.pid is not None:
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
            process.join()


@contextmanager
def processes(program: str, dsn: str) -> Generator[Processes]:
    """None of them outlives the context."""
    made = Processes(program, dsn)
    try:
        yield made
    finally:
        made.stop()
