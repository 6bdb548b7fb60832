"""The tasks in which a saga's own code runs, and those that were cut short and have not ended yet."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from collections.abc import Set as AbstractSet
from contextvars import Context
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import final

from saga_fn.core.ids import StepId
from saga_fn.engine.drive.stages import Execution


@final
class Executions:
    """All that runs of one saga."""

    __slots__ = ("_loop", "_running", "_stopping", "beginning")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.beginning: bool = False
        """Whether a task is being made at this moment. Its code may run until its first wait before it is there."""
        self._running: dict[StepId, tuple[asyncio.Task[None], Execution]] = {}
        """Each was begun, and is here until it is cut short or over: an end before that is the doing of other code."""
        self._stopping: set[asyncio.Task[None]] | None = None
        """They were cut short and may still be cleaning up: nothing is undone beside it."""

    @property
    def stopping(self) -> AbstractSet[asyncio.Task[None]]:
        """The tasks that were cut short and have not ended yet; each leaves when it has."""
        return self._stopping or frozenset()

    @property
    def steps(self) -> list[StepId]:
        """The steps of what runs now."""
        return [step for step, (task, _) in self._running.items() if not task.done()]

    @property
    def begun(self) -> tuple[StepId, ...]:
        """Those whose code may have been called, of what runs now."""
        return tuple(step for step, (task, _) in self._running.items() if not task.done() and _has_begun(task))

    def unheard(self) -> Sequence[Execution]:
        """Those that other code has cancelled before their first turn; such a task could not tell.

        Lets go of the tasks that have told their end: a saga with a long list has hundreds of them.
        """
        self._running = {
            step: running for step, running in self._running.items() if not running[0].done() or running[0].cancelled()
        }
        return [execution for task, execution in self._running.values() if task.cancelled()]

    if sys.version_info >= (3, 12):

        def begin(self, execution: Execution, run: Coroutine[object, object, None]) -> None:
            """Run it in a task of its own, from the next turn of the loop on."""
            self.beginning = True  # the loop may have a factory by which it begins before that turn
            try:
                self._running[execution.step] = (self._loop.create_task(run, context=Context()), execution)
            finally:
                self.beginning = False

        def begin_at_once(self, execution: Execution, run: Coroutine[object, object, None]) -> None:
            """The same, but it runs now until its first wait, unless the loop makes its tasks by a factory."""
            if self._loop.get_task_factory() is not None:
                self.begin(execution, run)
                return
            self.beginning = True
            try:
                task = asyncio.Task(run, loop=self._loop, context=Context(), eager_start=True)
            finally:
                self.beginning = False
            self._running[execution.step] = (task, execution)

    else:

        def begin(self, execution: Execution, run: Coroutine[object, object, None]) -> None:
            """Run it in a task of its own, from the next turn of the loop on."""
            self._running[execution.step] = (self._loop.create_task(run, context=Context()), execution)

        begin_at_once = begin

    def forget(self, step: StepId) -> None:
        """The step's task ends by itself, and is not the step's any more."""
        self._running.pop(step, None)

    def ended(self, execution: Execution) -> None:
        """It has come to its end, and tells it: its task, which takes a moment more, is kept no longer.

        One that was cut short, and has gone on all the same, is no longer here: another may run of its step.
        """
        running = self._running.get(execution.step)
        if running is not None and running[1] is execution:
            del self._running[execution.step]

    def is_current(self, step: StepId) -> bool:
        """Whether the present task is what runs of the step: then it was not cut short here."""
        current = self._running.get(step)
        return current is not None and current[0] is asyncio.current_task()

    @property
    def is_cut(self) -> bool:
        """Whether the present task was cut short here, and has gone on all the same."""
        return self._stopping is not None and asyncio.current_task() in self._stopping

    def cut(self, step: StepId) -> None:
        """Cut short what runs of the step."""
        running = self._running.pop(step, None)
        if running is not None and not running[0].done():
            self._cut(running[0])

    def cut_all(self) -> None:
        """Cut short all that runs."""
        running, self._running = self._running, {}
        for task, _ in running.values():
            if not task.done():
                self._cut(task)

    def _cut(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        if self._stopping is None:
            self._stopping = set()
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


def _has_begun(task: asyncio.Task[None]) -> bool:
    """Whether the task has had its first turn, in which the code of a step is called."""
    running = task.get_coro()
    return not iscoroutine(running) or getcoroutinestate(running) != CORO_CREATED
