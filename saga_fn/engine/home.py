"""Where an orchestrator is used: one process, one thread, one event loop at a time."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import final

from saga_fn.errors import SagaError

_forks = 0
"""How often this process has come of a fork, since this module was loaded: asking for the process id is a call of the kernel."""


def _forked() -> None:
    global _forks  # noqa: PLW0603 - the count of a process is one for the process
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@final
class Home:
    """The process, the thread and the event loop that an orchestrator is used in. Objects of another are out of reach."""

    __slots__ = ("_forks", "_loop", "_thread")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._forks = _forks

    def move_in(self) -> None:
        """Be at home in the event loop that runs here."""
        self._loop, self._thread, self._forks = asyncio.get_running_loop(), threading.get_ident(), _forks

    @property
    def is_gone(self) -> bool:
        """Whether that event loop is closed, so that nothing of it can go on."""
        return self._forks == _forks and self._loop is not None and self._loop.is_closed()

    def check(self) -> None:
        """Raise SagaError if the caller is somewhere else."""
        if self._forks != _forks:
            raise SagaError(
                "this orchestrator was entered before this process was forked: its connections are the parent's",
                hint="make an orchestrator in each process, after the fork, and enter it there",
            )
        # The running loop itself is not asked for: until Python 3.12 that is a call of the kernel, and this is asked often.
        if self._thread != threading.get_ident() or self._loop is None or not self._loop.is_running():
            raise SagaError(
                "this orchestrator was entered in another event loop",
                hint="use it there (asyncio.run_coroutine_threadsafe), or enter one in this loop as well",
            )

    def moves(self) -> bool:
        """Be at home here, if it is not used elsewhere; whether it was elsewhere before. Raises SagaError."""
        loop = asyncio.get_running_loop()
        if loop is self._loop and self._forks == _forks:
            return False
        if self._loop is not None and self._forks == _forks and self._loop.is_running():
            raise SagaError(
                "this orchestrator is used in another event loop, which is still running",
                hint="use it there (asyncio.run_coroutine_threadsafe), or make one for this loop as well",
            )
        self.move_in()
        return True
