"""Real processes, which are begun by a test, die by SIGKILL, and are not left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.until import SOON

ROOT = Path(__file__).parents[2]


class Processes:
    """Worker processes of one program, on one database."""

    def __init__(self, program: str, dsn: str) -> None:
        self._command = [sys.executable, "-m", program, dsn]
        self._begun: list[subprocess.Popen[bytes]] = []

    def begin(self, *point: str) -> subprocess.Popen[bytes]:
        """Begin another, which may kill itself at a point: see `tests.faults.death`."""
        process = subprocess.Popen([*self._command, *point], cwd=ROOT)
        self._begun.append(process)
        return process

    @contextmanager
    def killed(self) -> Generator[subprocess.Popen[bytes]]:
        """Begin one that is killed when the block ends, which waits for the moment."""
        process = self.begin()
        yield process
        process.kill()
        process.wait()

    async def one_dies_at(self, point: str, where: str, many: int = 1) -> None:
        """Begin one that kills itself there, and wait until it has."""
        await self.died(self.begin(point, where, str(many)))

    @staticmethod
    async def died(process: subprocess.Popen[bytes]) -> None:
        """Return when the process has killed itself."""
        assert await asyncio.to_thread(process.wait, SOON) == -signal.SIGKILL, "it got to that point"

    def stop(self) -> None:
        """End all of them, those that sleep as well."""
        for process in self._begun:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
            process.wait()


@contextmanager
def processes(program: str, dsn: str) -> Generator[Processes]:
    """None of them outlives the context."""
    made = Processes(program, dsn)
    try:
        yield made
    finally:
        made.stop()
