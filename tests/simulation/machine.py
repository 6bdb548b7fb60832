"""The machine that a simulation runs on: one time for all processes, the store and the world outside, and one order of events.

Nothing here, and nothing that runs on it, asks the real machine for its time, its chance, its threads or its addresses. So one
seed is one run.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import itertools
import logging
import math
import random
import sys
import time
import warnings
from collections.abc import Callable, Generator
from typing import Any, Final, final

from saga_fn.store import ids, memory
from saga_fn.testing.virtual_loop import VirtualLoop, VirtualTime

_MARKS: Final = 0x00000000000040008000000000000000
_FREE: Final = 0xFFFFFFFFFFFF0FFF3FFFFFFFFFFFFFFF


_MOST_TURNS: Final = 20_000
"""Turns in one moment after which that moment is not expected to end."""


class StuckError(Exception):
    """A process does one thing after another, and time does not move."""


@final
class Node:
    """One process of the simulated machine: its event loop, and whether it is alive and goes on."""

    def __init__(self, name: str, time: VirtualTime) -> None:
        self.name = name
        self.loop = VirtualLoop(time, self._wake)
        self.woken = True
        """Whether something may be ready in its loop, before its moment has come."""
        self.moment = math.inf
        """When its next timer is due, as it was when it came to rest."""
        self.alive = True
        self.stopped = False
        """Whether it stands still, as by SIGSTOP."""
        self.unreachable = False
        """Whether nothing comes from it to the store, or back."""
        self.slow = 1.0
        """How many times as long its way to the store is as that of others."""
        self.soon: list[tuple[int, Callable[[], object]]] = []
        """Faults that befall it after so many turns of its loop: in the middle of something, as often as not."""

    @property
    def runs(self) -> bool:
        """Whether anything of it runs."""
        return self.alive and not self.stopped

    def _wake(self) -> None:
        self.woken = True

    def rest(self) -> None:
        """Nothing of it is ready: note when that will be so by itself. A process that stands still is looked at again."""
        self.woken = self.stopped
        timer = self.loop.next_timer
        self.moment = math.inf if timer is None else timer

    def befall(self) -> None:
        """Count a turn, and let happen what was to come after it."""
        waiting, self.soon = self.soon, []
        for turns, what in waiting:
            if turns > 1:
                self.soon.append((turns - 1, what))
            else:
                what()

    def kill(self) -> None:
        """Let nothing of it run any more: no clean-up either."""
        self.alive = False
        self.loop.close()


@final
class Machine:
    """All of it, moved from one thing that happens to the next."""

    def __init__(self, seed: str) -> None:
        self.time = VirtualTime()
        self.dice = random.Random(f"{seed} machine")
        self.nodes: list[Node] = []
        self.caller = "nobody"
        """The process whose request the store serves at this moment."""
        self.halted = False
        """Whether something was found wrong: what follows from it says nothing more."""
        self.current: Node | None = None
        """The process of which something runs at this moment."""
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._buried: list[Node] = []

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self.time.monotonic()

    @property
    def here(self) -> Node:
        """The process that the asking code runs in."""
        assert self.current is not None, "no process runs"
        return self.current

    def begin(self, name: str) -> Node:
        """One process more."""
        node = Node(name, self.time)
        self.nodes.append(node)
        return node

    def kill(self, node: Node) -> None:
        """End one; what is left of it in memory is kept, so that no clean-up runs."""
        node.kill()
        self.nodes.remove(node)
        self._buried.append(node)

    def free(self) -> None:
        """Forget all processes."""
        for node in self.nodes.copy():
            self.kill(node)
        self._buried.clear()
        self._agenda.clear()

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        """Have this happen so much later, outside of all processes."""
        heapq.heappush(self._agenda, (self.time.monotonic() + seconds, next(self._numbers), what))

    def run(self, until: float, done: Callable[[], bool] | None = None) -> None:
        """Let all go on up to that moment, or until it is done, which is asked twice a second."""
        agenda, clock, ask_at = self._agenda, self.time, self.time.monotonic()
        while True:
            busy, turns, now = True, 0, clock.monotonic()
            while busy:
                busy = False
                for node in self.nodes.copy():
                    if not node.woken and node.moment > now:
                        continue
                    while node.alive and not node.stopped and node.loop.ready:
                        self.current = node
                        node.loop.turn()
                        busy, turns = True, turns + 1
                        if turns > _MOST_TURNS:
                            raise StuckError(node.name)
                        if node.soon:
                            self.current = None
                            node.befall()
                    node.rest()
            self.current = None
            if done is not None and now >= ask_at:
                ask_at = now + 0.5
                if done():
                    return
            moment = agenda[0][0] if agenda else until
            for node in self.nodes:
                if node.moment < moment and node.alive and not node.stopped:
                    moment = node.moment
            if moment >= until:
                clock.advance_to(until)
                return
            clock.advance_to(moment)
            while agenda and agenda[0][0] <= moment and not self.halted:
                heapq.heappop(agenda)[2]()
            if self.halted:
                return


def _let_go(machine: Machine) -> None:
    """Free what the processes have left behind. Python ends their coroutines as it does, and that is not to be heard of."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        machine.free()
        _ = gc.collect()
    sys.unraisablehook = hook


class _Clock:
    """The machine's time, as the modules of the library read it by `time`."""

    def __init__(self, virtual: VirtualTime) -> None:
        self.monotonic = virtual.monotonic
        self.perf_counter = virtual.monotonic
        self.time = virtual.time

    def time_ns(self) -> int:
        return int(self.time() * 1_000_000_000)

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"a simulation has no time.{name}")


@contextlib.contextmanager
def governed(machine: Machine, seed: str) -> Generator[None]:
    """Give the library the machine's time and chance, while the block lasts; its log is silent."""
    stand_in = _Clock(machine.time)
    changed: list[tuple[Any, str, object]] = []  # Any: modules

    def put(module: Any, name: str, value: object) -> None:  # Any: a module
        changed.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    for name, module in list(sys.modules.items()):
        if not name.startswith("saga_fn."):
            continue
        for key, value in list(vars(module).items()):
            if value is time:
                put(module, key, stand_in)
            elif value is time.monotonic:
                put(module, key, machine.time.monotonic)
    chance = random.Random(f"{seed} ids")
    put(ids, "_random", lambda: (chance.getrandbits(128) & _FREE | _MARKS).to_bytes(16))
    put(memory, "this_process", lambda: machine.caller)
    state, had_gc = random.getstate(), gc.isenabled()
    logger = logging.getLogger("saga_fn")
    was = logger.disabled, logger.level
    logger.setLevel(logging.CRITICAL + 1)
    random.seed(f"{seed} library")
    gc.disable()  # it would end tasks of killed processes at moments that no seed says
    try:
        yield
    finally:
        _let_go(machine)
        if had_gc:
            gc.enable()
        random.setstate(state)
        logger.disabled, logger.level = was
        for module, name, value in reversed(changed):
            setattr(module, name, value)
