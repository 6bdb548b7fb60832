"""The timeouts of what a process executes, or of the statements that it sends, watched by one timer.

An event loop keeps its timers in a heap, and a cancelled one stays there until its time has come: a timer for each step
would cost the straight way more than the step's own bookkeeping. Here a timeout that is never reached costs an entry into
a dict and one out of it. Executions with the same timeout end in the order in which they began, so each length has a
queue of its own, and only the first of each queue is looked at.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from time import monotonic as _now  # by this name alone: each step of each saga asks
from typing import Any, final

_Task = asyncio.Task[Any]  # Any: whatever it returns, it is only cut short here


@final
class Timeouts:
    """Cuts executions short when their time is over. All that it watches at a time runs in one event loop."""

    def __init__(self) -> None:
        self._queues: dict[float, dict[_Task, float]] = {}
        """For each length in seconds: what runs under it, and when (monotonic time) that is over."""
        self._expired: set[_Task] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf
        """When (monotonic time) the timer fires."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, seconds: float) -> _Task:
        """Cut the task that runs now short in so many seconds, unless `end` comes first; gives that task."""
        loop = self._loop
        # With the loop it is a look-up; without, until Python 3.12, a call of the kernel as well.
        task = asyncio.current_task(loop)
        if loop is None or task is None:
            self.stop()  # what ran in the loop before is gone with it
            loop = self._loop = asyncio.get_running_loop()
            task = asyncio.current_task(loop)
            assert task is not None, "what has a timeout runs in a task"
        over = _now() + seconds
        try:
            self._queues[seconds][task] = over
        except KeyError:
            self._queues[seconds] = {task: over}
        if over < self._next:
            self._arm(loop, over)
        return task

    def end(self, task: _Task, seconds: float) -> bool:
        """The task is past what was to be cut short: whether its time was over before.

        If so, the cancellation that it was cut short by is taken back.
        """
        queue = self._queues.get(seconds)
        if queue is not None and queue.pop(task, None) is not None:
            return False
        if task not in self._expired:  # stopped meanwhile
            return False
        self._expired.discard(task)
        task.uncancel()
        return True

    def stop(self) -> None:
        """Watch nothing more: what still runs is no longer cut short."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = None, math.inf
        self._queues.clear()
        self._expired.clear()

    def _arm(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = loop.call_later(max(0.0, when - _now()), self._fire, loop), when

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cut short what is over, and look again when the next is; nothing is watched where nothing runs."""
        self._timer, self._next = None, math.inf
        now = _now()
        following: float | None = None
        for seconds, queue in list(self._queues.items()):
            for task in [task for task, _ in itertools.takewhile(lambda each: each[1] <= now, queue.items())]:
                del queue[task]
                self._expired.add(task)
                task.cancel()
            first = next(iter(queue.values()), None)
            if first is None:
                del self._queues[seconds]
            elif following is None or first < following:
                following = first
        if following is not None:
            self._arm(loop, following)
