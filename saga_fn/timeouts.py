"""The timeouts of what a process executes, of the statements that it sends, and of its waits, each watched by one timer.

An event loop keeps its timers in a heap, and a cancelled one stays there until its time has come: a timer for each step
would cost the straight way more than the step's own bookkeeping. Here a timeout that is never reached costs an entry into
a dict and one out of it. Timeouts of the same length end in the order in which they began, so each length has a
queue of its own, and only the first of each queue is looked at.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Hashable
from contextvars import Context
from typing import Any, Final, Generic, TypeVar, final

from saga_fn import steady

_Task = asyncio.Task[Any]  # Any: whatever it returns, it is only cut short here
T = TypeVar("T", bound=Hashable)
_EMPTY: Final = Context()
"""For the timers, in whose callbacks nothing of a user's runs."""
_FEW: Final = 64
"""As many lengths are kept though nothing has them now: steps have the same ones again, but each wait may have another."""


class TimeLimits(Generic[T]):
    """Calls `cut` with what is watched when its time is over, and `take_back` with it at its end after that.

    All that it watches at a time belongs to one event loop.
    """

    def __init__(self, cut: Callable[[T], object], take_back: Callable[[T], object]) -> None:
        self._cut = cut
        self._take_back = take_back
        self._queues: dict[float, dict[T, float]] = {}
        """For each length in seconds: what has it, and when (monotonic time) that is over."""
        self._expired: set[T] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf
        """When (monotonic time) the timer fires."""

    def now(self) -> float:
        """Tell the seconds of the clock that it goes by."""
        return steady.now()

    def watch(self, what: T, seconds: float) -> None:
        """Cut this in so many seconds, unless `end` comes first."""
        over = steady.now() + seconds
        queue = self._queues.get(seconds)
        if queue is None:
            queue = self._queues[seconds] = {}
        queue[what] = over
        if over < self._next:
            self._arm(over)

    def end(self, what: T, seconds: float) -> bool:
        """Watch it no more: whether its time was over before."""
        queue = self._queues.get(seconds)
        if queue is not None and queue.pop(what, None) is not None:
            if not queue and len(self._queues) > _FEW:
                del self._queues[seconds]
            return False
        if what not in self._expired:  # stopped meanwhile
            return False
        self._expired.discard(what)
        self._take_back(what)
        return True

    @property
    def lengths(self) -> int:
        """How many lengths anything is watched for."""
        return len(self._queues)

    def stop(self) -> None:
        """Watch nothing more: what is not over is no longer cut."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = None, math.inf
        self._queues.clear()
        self._expired.clear()

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait = max(0.0, when - steady.now())
        self._timer, self._next = asyncio.get_running_loop().call_later(wait, self._fire, context=_EMPTY), when

    def _fire(self) -> None:
        """Cut what is over, and look again when the next is; nothing is watched where there is nothing."""
        self._timer, self._next = None, math.inf
        now = steady.now()
        following: float | None = None
        for seconds, queue in list(self._queues.items()):
            for what in [what for what, _ in itertools.takewhile(lambda each: each[1] <= now, queue.items())]:
                del queue[what]
                self._expired.add(what)
                self._cut(what)
            first = next(iter(queue.values()), None)
            if first is None:
                del self._queues[seconds]
            elif following is None or first < following:
                following = first
        if following is not None:
            self._arm(following)


@final
class Timeouts(TimeLimits[_Task]):
    """Cuts executions short when their time is over. At its end such a cancellation is taken back."""

    def __init__(self) -> None:
        super().__init__(_Task.cancel, _Task.uncancel)
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, seconds: float) -> _Task:
        """Cut the task that runs now short in so many seconds, unless `end` comes first; gives that task."""
        # With the loop it is a look-up; without, until Python 3.12, a call of the kernel as well.
        task = asyncio.current_task(self._loop)
        if task is None or self._loop is None:
            self.stop()  # what ran in the loop before is gone with it
            self._loop = asyncio.get_running_loop()
            task = asyncio.current_task(self._loop)
            assert task is not None, "what has a timeout runs in a task"
        self.watch(task, seconds)
        return task
