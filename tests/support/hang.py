"""A test that hangs ends its process, with every thread's traceback, every task's, and the name of the test.

The time-out of a test raises an exception in it: a test may swallow it, and it is asked for once. A test that failed
already has none any more, and hangs in its teardown for good. So there is a second limit, which nothing raises: a thread of
its own ends the process. Where even that thread does not get its turn, because C code keeps the interpreter's lock, the
interpreter's own watchdog does it. pytest-xdist then starts another worker, and the run fails.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import threading
from collections.abc import Generator
from typing import Final, TextIO

import attrs
import pytest

GRACE: Final = 60.0
"""Seconds that a test has beyond its time-out, to fail by it and to be taken down. A process has twice as many to end."""
BACKSTOP: Final = 30.0
"""Seconds after which the interpreter's watchdog does what our thread has not done."""


@attrs.define
class Guard:
    """The moment at which a process has been told to end, if any."""

    stderr: TextIO
    """Where the process writes what no test captures."""
    grace: float
    timer: threading.Timer | None = None

    def arm(self, name: str, seconds: float) -> None:
        """End this process after so many seconds, unless it is disarmed before."""
        self.disarm()
        self.timer = threading.Timer(seconds, self._end, (name,))
        self.timer.daemon = True
        self.timer.start()
        faulthandler.dump_traceback_later(seconds + BACKSTOP, file=self.stderr, exit=True)

    def disarm(self) -> None:
        """Let the process live."""
        if self.timer is not None:
            self.timer.cancel()
        faulthandler.cancel_dump_traceback_later()

    def _end(self, name: str) -> None:
        try:
            print(f"\nHANGS: {name}", file=self.stderr, flush=True)
            faulthandler.dump_traceback(self.stderr)
            for each in gc.get_objects():
                if isinstance(each, asyncio.Task) and not each.done():
                    each.print_stack(file=self.stderr)
            self.stderr.flush()
        finally:
            os._exit(1)


GUARD: Final = pytest.StashKey[Guard]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tests of this module are in a hurry."""
    parser.addini("hang_grace", "seconds beyond a test's time-out after which its process ends", default=str(GRACE))


def pytest_configure(config: pytest.Config) -> None:
    """Keep the way to the terminal: later the tests' output is captured."""
    stderr = open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115  # until the end
    config.stash[GUARD] = Guard(stderr, float(str(config.getini("hang_grace"))))


def _arm(item: pytest.Item) -> None:
    marker = item.get_closest_marker("timeout")
    given: object = marker.args[0] if marker is not None else item.config.getini("timeout")
    if limit := float(str(given or 0)):
        guard = item.config.stash[GUARD]
        guard.arm(item.nodeid, limit + guard.grace)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Guard a test from its setup to its teardown; that of the last one takes down what all have shared."""
    _arm(item)
    try:
        return (yield)
    finally:
        item.config.stash[GUARD].disarm()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Guard the teardown of one that has failed: pytest takes back every limit then, for a person may debug it."""
    if isinstance(node, pytest.Item):
        _arm(node)


def pytest_enter_pdb(config: pytest.Config) -> None:
    """Leave who debugs alone."""
    config.stash[GUARD].disarm()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Guard the end of the process: a thread that was not ended keeps it alive.

    A worker lives until the last of the others has no test left, and is ended then.
    """
    if hasattr(session.config, "workerinput"):
        return
    guard = session.config.stash[GUARD]
    guard.arm("the end of the process, after its last test", 2 * guard.grace)
