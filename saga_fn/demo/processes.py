"""The demo's child processes: started, watched, killed, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

STOP_TIMEOUT = 5.0
"""Seconds that a child has to stop when asked, before it is killed."""

LOG_TAIL = 20
"""Lines of a dead child's log that are shown."""


class ChildDiedError(Exception):
    """A process that should still run does not; the message holds the end of its log."""


class Child:
    """One child process: its standard output and error go to `log`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._meant_to_die = False

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: it gets no chance to finish, hand back or say good-bye."""
        self._meant_to_die = True
        self._process.kill()

    async def watch(self) -> None:
        """Wait until the process is gone. Raises ChildDiedError unless `kill` was called."""
        code = await self._process.wait()
        if not self._meant_to_die:
            tail = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
            raise ChildDiedError("\n".join([f"{self.name} (pid {self.pid}) ended with code {code}; its log:", *tail]))

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not help in time. Does nothing if the process is gone."""
        if self._process.returncode is not None:
            return
        self._meant_to_die = True
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def child(
    name: str,
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    log_folder: Path,
    inherit: Sequence[int] = (),
) -> AsyncGenerator[Child]:
    """`python -m module arguments...`, stopped when the context ends. `inherit`: file descriptors it gets."""
    log = log_folder / f"{name}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            pass_fds=inherit,
        )
    started = Child(name, process, log)
    try:
        yield started
    finally:
        await started.stop()


def stop_with_parent() -> None:
    """Called in a child: send this process SIGTERM when the parent is gone, however it went.

    The parent holds the other end of the child's standard input and never writes to it: the system closes it.
    """

    def wait_for_the_end() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait_for_the_end, name="stop-with-parent", daemon=True).start()
